"""The few Linux calls that the supervisor needs and the standard library does not wrap."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

_PR_SET_PDEATHSIG = 1
_PR_SET_KEEPCAPS = 8
_PR_SET_NAME = 15
_PR_SET_CHILD_SUBREAPER = 36
_PR_CAP_AMBIENT = 47
_PR_CAP_AMBIENT_RAISE = 2

_CAP_DAC_OVERRIDE = 1
_CAP_DAC_READ_SEARCH = 2
_CAPABILITY_VERSION_3 = 0x20080522

_libc = ctypes.CDLL(None, use_errno=True)


def _prctl(option: int, arg2: int = 0, arg3: int = 0, arg4: int = 0, arg5: int = 0) -> None:
    words = [ctypes.c_ulong(arg) for arg in (arg2, arg3, arg4, arg5)]
    if _libc.prctl(option, *words) != 0:
        errno = ctypes.get_errno()
        raise OSError(errno, f"prctl({option}): {os.strerror(errno)}")


def die_with_parent(signal_number: int, parent: int) -> None:
    """Asks the kernel for `signal_number` when `parent` dies; ends this process if it is gone already.

    Must come after any change of user: the kernel forgets the wish then.
    """
    _prctl(_PR_SET_PDEATHSIG, signal_number)
    if os.getppid() != parent:
        os._exit(125)


def adopt_orphans() -> None:
    """Makes this process the new parent of any descendant whose own parent dies."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def set_command_name(name: str) -> None:
    """Sets what `ps` shows: the short name (15 bytes) and, where there is room, the whole command line."""
    _libc.prctl(_PR_SET_NAME, name.encode()[:15], 0, 0, 0)
    try:
        fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
        start, end = int(fields[45]), int(fields[46])  # arg_start and arg_end, proc(5) fields 48 and 49
    except (OSError, ValueError, IndexError):
        return
    room = end - start
    if start and room > 1:
        ctypes.memmove(start, name.encode()[: room - 1].ljust(room, b"\0"), room)


def become_user(uid: int, gid: int, must_reach: tuple[str, ...] = ()) -> None:
    """Drops from root to `uid`, for good, keeping the right to look into directories only if it is needed.

    Postgres refuses to run as root, but its files may lie below a directory that only root can enter
    (`/root` is 0700). Opening such directories to everyone would be rude; instead the process keeps one
    ambient capability, the weakest that lets it pass: CAP_DAC_READ_SEARCH, or CAP_DAC_OVERRIDE where a
    container grants only that.

    Raises:
        PermissionError: a path in `must_reach` stays out of reach of `uid`.
    """
    _prctl(_PR_SET_KEEPCAPS, 1)
    os.setgroups([])
    os.setresgid(gid, gid, gid)
    os.setresuid(uid, uid, uid)
    blocked = [path for path in must_reach if not _can_enter(path)]
    if not blocked:
        _set_capabilities(0)
        return
    for capability in (_CAP_DAC_READ_SEARCH, _CAP_DAC_OVERRIDE):
        if _permitted_capabilities() >> capability & 1:
            _set_capabilities(1 << capability)
            _prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE, capability)
            return
    raise PermissionError(
        f"user id {uid} cannot reach {blocked[0]}: choose a data directory that other users may enter"
    )


def _can_enter(path: str) -> bool:
    try:
        Path(path).stat()
    except PermissionError:
        return False
    except FileNotFoundError:
        return True
    return os.access(path, os.R_OK | os.X_OK)


def _permitted_capabilities() -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("CapPrm:"):
            return int(line.split()[1], 16)
    return 0


def _set_capabilities(mask: int) -> None:
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
    low, high = mask & 0xFFFFFFFF, mask >> 32
    data = (ctypes.c_uint32 * 6)(low, low, low, high, high, high)
    if _libc.capset(header, data) != 0:
        errno = ctypes.get_errno()
        raise OSError(errno, f"capset: {os.strerror(errno)}")


def start_ticks(pid: int) -> int | None:
    """When `pid` started, in clock ticks since boot; None if there is no such process.

    A pid and its start time name one process of this boot for ever: pids alone are used again.
    """
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (OSError, ValueError):
        return None
    return None if fields[0] in ("Z", "X") else int(fields[19])


def children_of(pid: int) -> list[int]:
    """Pids of the direct children of `pid`, zombies included."""
    try:
        found: list[int] = []
        for task in Path(f"/proc/{pid}/task").iterdir():
            found += [int(word) for word in (task / "children").read_text().split()]
        return found
    except OSError:
        return _children_by_scan(pid)


def _children_by_scan(pid: int) -> list[int]:
    """The slow way, for kernels without CONFIG_PROC_CHILDREN."""
    found: list[int] = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
        except (OSError, ValueError, IndexError):
            continue
        if parent == pid:
            found.append(int(entry.name))
    return found


def boot_id() -> str:
    """Names this boot of the machine."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def proportional_memory(pid: int) -> int | None:
    """PSS in bytes: private memory plus a fair share of what is shared; None if gone or not ours to read."""
    try:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    except OSError:
        return None
    return None
