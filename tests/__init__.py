"""Tests of everything."""

import os

# As in every process of the mesh; see tools/reelmesh_cli/supervisor/environment.py. They are read when gRPC is imported.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
os.environ.setdefault("GRPC_EXPERIMENTS", "-event_engine_listener,-event_engine_client")
