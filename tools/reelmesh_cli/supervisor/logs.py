"""Log files: what a process prints, as JSON lines, in files of bounded size."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
from datetime import UTC, datetime
from pathlib import Path

PART_BYTES = 8 * 1024 * 1024
"""A log file is put aside when it reaches this size."""
KEPT_PARTS = 3
"""Older parts that stay: `upload.log.1` is the newest of them."""

_LONGEST_LINE = 64 * 1024
_LEVELS = (
    (re.compile(rb"\[FTL\]|\bFATAL\b|\bPANIC\b|\[critical\]"), "critical"),
    (re.compile(rb"\[ERR\]|\bERROR\b|\[error\]|^Traceback|^\w*Error\b"), "error"),
    (re.compile(rb"\[WRN\]|\bWARNING\b|\[warning\]"), "warning"),
)


class LogFile:
    """Appends lines to one log. A line that is not a JSON object already becomes one."""

    def __init__(self, path: Path, name: str) -> None:
        self._path = path
        self._name = name
        self._descriptor = self._opened()
        self._size = os.fstat(self._descriptor).st_size

    def _opened(self) -> int:
        return os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def fileno(self) -> int:
        """The descriptor of the current part."""
        return self._descriptor

    def write(self, lines: list[bytes]) -> None:
        """Appends lines given without their line ends."""
        text = b"".join(self._as_json(line) + b"\n" for line in lines if line.strip())
        with contextlib.suppress(OSError):  # a full disk costs log lines, not the processes that are kept running here
            if self._size + len(text) > PART_BYTES:
                self._put_aside()
            self._size += os.write(self._descriptor, text)

    def note(self, message: str, **facts: object) -> None:
        """Adds a line of the supervisor's own, in the same log as the process it is about."""
        line = {"service": self._name, "level": "info", "logger": "supervisor", "timestamp": _now(), "message": message}
        self.write([json.dumps(line | facts).encode()])

    def _as_json(self, line: bytes) -> bytes:
        if line.startswith(b"{") and line.endswith(b"}"):
            return line
        level = next((name for pattern, name in _LEVELS if pattern.search(line)), "info")
        message = line.decode(errors="replace").rstrip()
        return json.dumps(
            {"service": self._name, "level": level, "logger": self._name, "timestamp": _now(), "message": message}
        ).encode()

    def _put_aside(self) -> None:
        for number in range(KEPT_PARTS - 1, 0, -1):
            older = self._path.with_name(f"{self._path.name}.{number}")
            if older.exists():
                older.rename(self._path.with_name(f"{self._path.name}.{number + 1}"))
        self._path.rename(self._path.with_name(f"{self._path.name}.1"))
        os.close(self._descriptor)
        self._descriptor = self._opened()
        self._size = 0

    def last_messages(self, count: int) -> list[str]:
        """What the newest lines say, for a message about a process that would not start."""
        lines = self._path.read_text(errors="replace").splitlines()[-count:]
        return [_message_of(line) for line in lines]

    def close(self) -> None:
        """Closes the file."""
        os.close(self._descriptor)


def _message_of(line: str) -> str:
    """What a line says: its `message` where it is a JSON object, else the line as it is."""
    try:
        found = json.loads(line)
    except ValueError:
        return line
    return str(found.get("message", line)) if isinstance(found, dict) else line


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class LogPump:
    """Carries the lines of one process from its pipe to its log, until the pipe is closed on the other side."""

    def __init__(self, log: LogFile) -> None:
        self._log = log
        self._rest = b""
        self._reader, self.writer = os.pipe()
        os.set_blocking(self._reader, False)
        asyncio.get_running_loop().add_reader(self._reader, self._readable)

    def close_writer(self) -> None:
        """To be called once the process has its own copy."""
        os.close(self.writer)

    def _readable(self) -> None:
        try:
            chunk = os.read(self._reader, 1 << 16)
        except BlockingIOError:
            return
        if not chunk:
            self._finish()
            return
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        if len(self._rest) > _LONGEST_LINE:
            lines, self._rest = [*lines, self._rest], b""
        if lines:
            self._log.write(lines)

    def _finish(self) -> None:
        asyncio.get_running_loop().remove_reader(self._reader)
        os.close(self._reader)
        if self._rest:
            self._log.write([self._rest])
            self._rest = b""
