"""The whole mesh, started by the command that people use, and ways to hurt it."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import httpx

from tests.cli.command import Installation
from tests.support import forked
from tests.support.ports import free_port
from tools.reelmesh_cli.supervisor.state import read_state
from tools.reelmesh_sdk import Client


@dataclass(frozen=True, slots=True)
class Mesh:
    """One running install."""

    installation: Installation

    @property
    def data(self) -> Path:
        return self.installation.data

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.installation.port}"

    @property
    def key(self) -> str:
        return (self.data / "secrets/operator_api_key").read_text(encoding="utf-8").strip()

    def client(self) -> Client:
        """The client library, as the operator."""
        return Client(self.url, self.key)

    def http(self, **headers: str) -> httpx.AsyncClient:
        """Plain HTTP as the operator."""
        return httpx.AsyncClient(
            base_url=self.url, headers={"authorization": f"Bearer {self.key}", **headers}, timeout=30, trust_env=False
        )

    def command(self, *words: str, check: bool = True) -> dict[str, Any]:
        """What `reelmesh … --json` prints."""
        environment = {name: value for name, value in os.environ.items() if not name.startswith("REELMESH_")}
        ran = forked.reelmesh((*words, "--json", "--data", str(self.data)), environment)
        if check and ran.status != 0:
            raise AssertionError(f"reelmesh {' '.join(words)} failed: {ran.out}{ran.err}")
        answer: dict[str, Any] = json.loads(ran.out)
        return answer

    def kill(self, process: str) -> None:
        """kill -9, as the kernel does when memory runs out."""
        os.kill(self.installation.pid(process), signal.SIGKILL)

    async def repaired(self, process: str, old_pid: int, within: float = 60) -> None:
        """Waits until a process that was killed runs again and is ready."""
        give_up = time.monotonic() + within
        while True:
            record = self.installation.process(process)
            if record.state == "ready" and record.identity is not None and record.identity.pid != old_pid:
                return
            if time.monotonic() > give_up:
                raise AssertionError(f"{process} did not come back: {record}")
            await asyncio.sleep(0.05)

    def logs(self) -> str:
        """Everything that any process has written to its log so far."""
        return "".join(path.read_text(errors="replace") for path in sorted((self.data / "logs").glob("*")))


@contextmanager
def running_mesh(secrets: Mapping[str, bytes] = MappingProxyType({}), /, **environment: str) -> Iterator[Mesh]:
    """Starts the mesh in a folder of its own on a free port, with more settings in the environment, and stops it at the end.

    Args:
        secrets: what the operator put into the folder of secrets before, by the file's name.
        environment: settings; `{secrets}` in one is that folder.
    """
    data = Path(tempfile.mkdtemp(prefix="reelmesh-mesh-", dir="/tmp"))
    for name, content in secrets.items():
        (data / "secrets").mkdir(mode=0o700, exist_ok=True)
        (data / "secrets" / name).write_bytes(content)
        (data / "secrets" / name).chmod(0o600)
    environment = {name: value.replace("{secrets}", str(data / "secrets")) for name, value in environment.items()}
    installation = Installation(data, free_port())
    ran = subprocess.run(
        installation.command("up", "--detach", "--port", str(installation.port)),
        capture_output=True,
        text=True,
        timeout=240,
        env={name: value for name, value in os.environ.items() if not name.startswith("REELMESH_")}
        | {"PYTHONPATH": ".:gen/python"}
        | environment,
        check=False,
    )
    try:
        if ran.returncode != 0:
            state = read_state(installation.layout)
            raise AssertionError(f"the mesh did not start: {ran.stdout}{ran.stderr}\n{state}")
        yield Mesh(installation)
    finally:
        installation.run("down")
        shutil.rmtree(data, ignore_errors=True)
