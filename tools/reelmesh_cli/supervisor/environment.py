"""The environment of each process: what the mesh tells it, and what it may see of the person's own."""

from __future__ import annotations

import os
from dataclasses import dataclass

from tools.reelmesh_cli.supervisor import nats_server
from tools.reelmesh_cli.supervisor.layout import REPOSITORY, Layout
from tools.reelmesh_cli.supervisor.leftovers import MARK

# Enough for a program to run, and nothing that could be somebody's secret.
_PLAIN = ("PATH", "HOME", "USER", "LOGNAME", "LANG", "LANGUAGE", "TZ", "TMPDIR", "LD_LIBRARY_PATH", "VIRTUAL_ENV")
# What an operator sets for the services: our own settings, the telemetry standard's, the object store's.
_FOR_SERVICES = ("REELMESH_", "OTEL_", "AWS_", "SSL_CERT_", "GRPC_", "PYTHON", "SOFTHSM2_CONF")
_NOT_FOR_SERVICES = frozenset({"REELMESH_API_KEY", "REELMESH_URL"})


@dataclass(frozen=True, slots=True)
class MeshAddresses:
    """Where this mesh is reached: the edge by people, NATS by the services."""

    port: int
    nats_port: int

    @property
    def url(self) -> str:
        """The edge."""
        return f"http://127.0.0.1:{self.port}"


def of_programs(layout: Layout) -> dict[str, str]:
    """For Postgres, NATS and Envoy."""
    plain = {name: value for name, value in os.environ.items() if name in _PLAIN or name.startswith("LC_")}
    return plain | {MARK: str(layout.data)}


def of_services(layout: Layout, addresses: MeshAddresses) -> dict[str, str]:
    """For every Python process, and for the zygote that they are forked from."""
    allowed = {
        name: value
        for name, value in os.environ.items()
        if name.startswith(_FOR_SERVICES) and name not in _NOT_FOR_SERVICES
    }
    code = [str(REPOSITORY), str(REPOSITORY / "gen" / "python")]
    earlier = [entry for entry in os.environ.get("PYTHONPATH", "").split(os.pathsep) if entry and entry not in code]
    return (
        of_programs(layout)
        | allowed
        | {
            "PYTHONPATH": os.pathsep.join([*code, *earlier]),
            "PYTHONUNBUFFERED": "1",
            "GRPC_ENABLE_FORK_SUPPORT": "0",  # we fork before gRPC starts, so its fork handlers are only in the way
            # gRPC's newer engine hands each read from thread to thread: an upload cost a third more processor time. See DECISIONS.md.
            "GRPC_EXPERIMENTS": allowed.get("GRPC_EXPERIMENTS", "-event_engine_listener,-event_engine_client"),
            "MALLOC_ARENA_MAX": "2",  # glibc gives each thread an arena of its own otherwise, and keeps what it held
            "REELMESH_DATA_DIR": str(layout.data),
            "REELMESH_RUN_DIR": str(layout.sockets),
            "REELMESH_SECRETS_DIR": str(layout.secrets),
            "REELMESH_TLS_DIR": str(layout.secrets / "tls"),
            "REELMESH_DATABASE_HOST": str(layout.postgres_socket),
            "REELMESH_NATS_URL": f"nats://{nats_server.HOST}:{addresses.nats_port}",
            "REELMESH_NATS_TOKEN_FILE": str(nats_server.token_file(layout)),
            "REELMESH_PUBLIC_URL": os.environ.get("REELMESH_PUBLIC_URL") or addresses.url,
        }
    )


def of_service(layout: Layout, addresses: MeshAddresses, name: str) -> dict[str, str]:
    """For one Python process: as above, and what it listens on."""
    return of_services(layout, addresses) | {
        "REELMESH_LISTEN": f"unix:{layout.socket_of(name)}",
        "REELMESH_METRICS_LISTEN": f"unix:{layout.sockets / f'{name}.metrics.sock'}",
    }
