"""Where everything lies in a data directory."""

from __future__ import annotations

import hashlib
import os
import stat
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[3]
"""The checkout, or the directory that holds `services/` in an image."""

_SOCKET_PATH_BYTES = 107
_LONGEST_SOCKET_NAME = len("/postgres/.s.PGSQL.5432.lock")


def default_data_directory() -> Path:
    """REELMESH_DATA_DIR, else `.reelmesh` beside the code."""
    return Path(os.environ.get("REELMESH_DATA_DIR") or REPOSITORY / ".reelmesh")


@dataclass(frozen=True, slots=True)
class Layout:
    """The paths below one data directory. `sockets` may lie elsewhere: socket paths are short (107 bytes)."""

    data: Path

    @classmethod
    def of(cls, data: Path) -> Layout:
        """The layout of `data`, made absolute."""
        return cls(data.expanduser().resolve())

    @property
    def postgres(self) -> Path:
        """The Postgres cluster."""
        return self.data / "postgres"

    @property
    def nats(self) -> Path:
        """JetStream's files, and the port NATS listens on."""
        return self.data / "nats"

    @property
    def objects(self) -> Path:
        """The local object store."""
        return self.data / "objects"

    @property
    def messages(self) -> Path:
        """What people were sent, where nobody carries it."""
        return self.data / "messages"

    @property
    def secrets(self) -> Path:
        """Keys and credentials, 0700."""
        return self.data / "secrets"

    @property
    def logs(self) -> Path:
        """One `<process>.log` each, with older parts beside it."""
        return self.data / "logs"

    @property
    def run(self) -> Path:
        """What is only true while the mesh runs."""
        return self.data / "run"

    @property
    def state_file(self) -> Path:
        """Who runs, where, since when."""
        return self.run / "state.json"

    @property
    def lock_file(self) -> Path:
        """Held by the one supervisor of this data directory."""
        return self.run / "supervisor.lock"

    @property
    def sockets(self) -> Path:
        """The unix sockets: `run`, or a private directory under /tmp where that path would be too long."""
        if len(os.fsencode(self.run)) + _LONGEST_SOCKET_NAME <= _SOCKET_PATH_BYTES:
            return self.run
        digest = hashlib.sha256(os.fsencode(self.data)).hexdigest()[:12]
        # Private: `prepare` makes it and checks whose it is.
        return Path(f"/tmp/reelmesh-{os.getuid()}-{digest}")  # noqa: S108

    @property
    def postgres_socket(self) -> Path:
        """Directory of Postgres's socket, open to its owner only: who may enter may connect."""
        return self.sockets / "postgres"

    def socket_of(self, process: str) -> Path:
        """The unix socket of one process."""
        return self.sockets / f"{process}.sock"

    def log_of(self, process: str) -> Path:
        """The log of one process."""
        return self.logs / f"{process}.log"

    def prepare(self) -> None:
        """Makes the directories, private to this user.

        Raises:
            PermissionError: the socket directory under /tmp belongs to someone else.
        """
        # Postgres, which root starts under another name, has to pass through; looking around it may not.
        passable = 0o711 if os.geteuid() == 0 else 0o700
        self.data.mkdir(parents=True, exist_ok=True)
        self.data.chmod(passable)
        for private in (self.objects, self.secrets, self.logs, self.nats):
            private.mkdir(mode=0o700, exist_ok=True)
        self.run.mkdir(exist_ok=True)
        self.run.chmod(passable)
        if self.sockets != self.run:
            self.sockets.mkdir(mode=0o700, exist_ok=True)
            found = self.sockets.lstat()
            if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
                raise PermissionError(f"{self.sockets} belongs to someone else: remove it, or use a shorter data path")
            self.sockets.chmod(passable)
