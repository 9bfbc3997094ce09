"""A real clamd with signatures of its own, which asks nobody for others."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

EICAR = (
    rb"X5O!P%@AP[4\PZX54(P^)7CC)7}$" + b"EICAR-STANDARD-ANTIVIRUS-TEST-FILE!$H+H*"
)  # in two, or scanners would take this file
"""The file that every scanner takes for malware (https://www.eicar.org/download-anti-malware-testfile/)."""
MARK = b"reelmesh-signature-of-our-own"
STREAM_LIMIT = 12 << 20
_SIGNATURES = f"Eicar-Signature:0:*:{EICAR.hex()}\nReelmesh.Test.Mark:0:*:{MARK.hex()}\n"


@dataclass
class Clamd:
    """One that can be stopped and started again."""

    folder: Path
    process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        """Where it listens, as settings say it."""
        return f"unix:{self.folder / 'clamd.sock'}"

    def start(self) -> None:
        """Starts it, and waits until it answers."""
        log = (self.folder / "clamd.log").open("ab")
        with log:
            command = [_program(), "--foreground", "--config-file", str(self.folder / "clamd.conf")]
            self.process = subprocess.Popen(command, stdout=log, stderr=log)
        give_up = time.monotonic() + 30
        while not self._answers():
            if self.process.poll() is not None or time.monotonic() > give_up:
                raise RuntimeError((self.folder / "clamd.log").read_text())
            time.sleep(0.02)

    def stop(self) -> None:
        """Kills it."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def _answers(self) -> bool:
        with socket.socket(socket.AF_UNIX) as connection:
            try:
                connection.connect(str(self.folder / "clamd.sock"))
                connection.sendall(b"zPING\0")
                return connection.recv(16).startswith(b"PONG")
            except OSError:
                return False


@contextmanager
def running_clamd() -> Iterator[Clamd]:
    """One for the length of the block. Where it is not installed, tests are skipped, and in CI they fail."""
    if not (shutil.which(_program())) and os.environ.get("CI") != "true":
        pytest.skip("clamd is not installed: run `sudo apt-get install clamav-daemon`")
    with tempfile.TemporaryDirectory(prefix="reelmesh-clamd-") as name:
        folder = Path(name)
        database = folder / "signatures"
        database.mkdir()
        (database / "local.ndb").write_text(_SIGNATURES)
        (folder / "clamd.conf").write_text(
            f"LocalSocket {folder / 'clamd.sock'}\nDatabaseDirectory {database}\nStreamMaxLength {STREAM_LIMIT}\n"
            "AlertExceedsMax yes\nMaxFiles 3\nConcurrentDatabaseReload no\nMaxThreads 2\n"
        )
        clamd = Clamd(folder)
        clamd.start()
        try:
            yield clamd
        finally:
            clamd.stop()


def _program() -> str:
    return shutil.which("clamd", path=f"{os.environ.get('PATH', '')}:/usr/sbin") or "clamd"
