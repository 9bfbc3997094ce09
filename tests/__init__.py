"""Tests of everything."""

import os

# As in every process of the mesh; see tools/reelmesh_cli/supervisor/environment.py. It is read when gRPC is imported.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
