"""Load from h2load, a tool in C that leaves most of a small machine to the server: requests a second, and how long each one took."""

from __future__ import annotations

import asyncio
import re
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_DATA: Final = re.compile(rb"\(([0-9]+)\) data")
_FRAME: Final = 6
"""Bytes of the smallest message that says anything (gRPC over HTTP/2, "Length-Prefixed-Message")."""


class ToolMissing(Exception):
    """The tool that makes load is not on this machine."""


@dataclass(frozen=True, slots=True)
class Load:
    """What came of it.

    Attributes:
        per_second: answers a second.
        milliseconds: of each request, from its first byte to the answer's last, in no particular order.
    """

    per_second: float
    milliseconds: tuple[float, ...]


async def load(
    url: str | Sequence[str],
    *,
    connections: int,
    seconds: float,
    per_second: float | None = None,
    body: bytes | None = None,
    fields: Mapping[str, str] | None = None,
    grpc: bool = False,
) -> Load:
    """Asks for one URL, or for several of one server in turn, by HTTP/1.1 (or gRPC) over connections that stay open, one request at a time on each.

    Args:
        url: what to ask for.
        connections: how many.
        seconds: for how long.
        per_second: requests to begin each second, over all connections; as many as go when absent.
        body: makes it a POST.
        fields: header fields.
        grpc: speaks HTTP/2, and takes an answer without a message for a refusal: such a one has status 200 too.

    Raises:
        ToolMissing: there is no h2load.
        AssertionError: a request failed, or its status was not 2xx.
    """
    program = shutil.which("h2load")
    if program is None:
        raise ToolMissing("h2load is missing: apt-get install --no-install-recommends nghttp2-client")
    with tempfile.TemporaryDirectory(prefix="reelmesh-load-") as folder:
        log = Path(folder) / "log"
        words = [*([] if grpc else ["--h1"]), f"--clients={connections}", f"--duration={seconds}", f"--log-file={log}"]
        if per_second is not None:
            words.append(f"--rps={per_second / connections:g}")
        if body is not None:
            (Path(folder) / "body").write_bytes(body)
            words.append(f"--data={folder}/body")
        words += [f"--header={name}: {value}" for name, value in (fields or {}).items()]
        # Tickets of a mesh that lives for minutes may be seen in the process table.
        child = await asyncio.create_subprocess_exec(
            program, *words, *([url] if isinstance(url, str) else url), stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        said, _ = await child.communicate()
        rows = [line.split("\t") for line in log.read_text(encoding="ascii").splitlines()]
    rows = [row for row in rows if row[1] != "0"]  # cut off at the end
    strange = {status for _, status, _ in rows if not status.startswith("2")}
    if child.returncode != 0 or strange or not rows:
        raise AssertionError(f"statuses {sorted(strange)}: {said.decode(errors='replace')}")
    if grpc and int(_DATA.search(said)[1]) < _FRAME * len(rows):  # type: ignore[index]  # it always says so
        raise AssertionError(f"calls were refused: {said.decode(errors='replace')}")
    return Load(len(rows) / seconds, tuple(int(microseconds) / 1000 for _, _, microseconds in rows))
