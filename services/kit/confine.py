"""Shuts a process in, then becomes the given program. `services.kit.sandbox` starts it; it is never imported by a
service.

It is run as `python -I -S confine.py <policy fd> <status fd>`, so that it costs about 30 ms and needs nothing but the
standard library. The policy is read as JSON from the policy descriptor; what was applied (or why it could not be) is
written as one JSON line to the status descriptor, which closes by itself when the program starts. What it does, in this
order:

1. a network namespace of its own, where the kernel lets it (as root, or in a user namespace);
2. all capabilities dropped, `no_new_privs` set, death with the parent (`PR_SET_PDEATHSIG`);
3. Landlock: the program may be executed; the system's libraries and the named inputs read; the named places written;
   nothing else;
4. resource limits;
5. a seccomp filter: no sockets, no other processes, no kernel interfaces that a media tool has no business with.

Without seccomp the program is not started. Landlock and the network namespace are used where the kernel has them.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import json
import os
import platform
import resource
import signal
import struct
import sys
from typing import Any, Final, NoReturn

_libc: Final = ctypes.CDLL(None, use_errno=True)

# --- seccomp: linux/seccomp.h, linux/filter.h, linux/audit.h ---------------------------------------------------------

_ALLOW: Final = 0x7FFF0000
_KILL_PROCESS: Final = 0x80000000
_ERRNO: Final = 0x00050000
_LOAD, _JUMP_EQUAL, _JUMP_ABOVE, _JUMP_ANY_BIT, _RETURN = 0x20, 0x15, 0x25, 0x45, 0x06
_NR_OFFSET, _ARCH_OFFSET, _ARGS_OFFSET = 0, 4, 16
_X32_BIT: Final = 0x40000000
_CLONE_THREAD: Final = 0x00010000
_PR_SET_PDEATHSIG: Final = 1
_TIOCSTI, _TIOCLINUX = 0x5412, 0x541C
# Newer calls than these get ENOSYS, as on an older kernel: whatever the future brings is closed until somebody has read
# what it does.
_NEWEST_KNOWN: Final = 456

# machine: (audit architecture, column in the tables below, number of seccomp itself)
_MACHINES: Final = {"x86_64": (0xC000003E, 0, 317), "aarch64": (0xC00000B7, 1, 277)}

# name: (x86_64, aarch64); -1 where the architecture has no such call. From asm/unistd_64.h and asm-generic/unistd.h.
_DENIED: Final = {
    # the network, of every family
    "socket": (41, 198),
    "socketpair": (53, 199),
    "connect": (42, 203),
    "bind": (49, 200),
    "listen": (50, 201),
    "accept": (43, 202),
    "accept4": (288, 242),
    "sendto": (44, 206),
    "sendmsg": (46, 211),
    "sendmmsg": (307, 269),
    "recvfrom": (45, 207),
    "recvmsg": (47, 212),
    "recvmmsg": (299, 243),
    # other processes: making them, leaving the group, looking into them, signalling them
    "fork": (57, -1),
    "vfork": (58, -1),
    "execveat": (322, 281),
    "setsid": (112, 157),
    "setpgid": (109, 154),
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "process_madvise": (440, 440),
    "kcmp": (312, 272),
    "pidfd_open": (434, 434),
    "pidfd_getfd": (438, 438),
    "pidfd_send_signal": (424, 424),
    "kill": (62, 129),
    "tkill": (200, 130),
    "rt_sigqueueinfo": (129, 138),
    "rt_tgsigqueueinfo": (297, 240),
    # mounts, namespaces, devices
    "mount": (165, 40),
    "umount2": (166, 39),
    "pivot_root": (155, 41),
    "chroot": (161, 51),
    "move_mount": (429, 429),
    "open_tree": (428, 428),
    "fsopen": (430, 430),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fspick": (433, 433),
    "mount_setattr": (442, 442),
    "unshare": (272, 97),
    "setns": (308, 268),
    "mknod": (133, -1),
    "mknodat": (259, 33),
    "name_to_handle_at": (303, 264),
    "open_by_handle_at": (304, 265),
    "fanotify_init": (300, 262),
    # memory that no limit counts, and memory shared with others
    "memfd_create": (319, 279),
    "memfd_secret": (447, 447),
    "shmget": (29, 194),
    "msgget": (68, 186),
    "semget": (64, 190),
    "mq_open": (240, 180),
    "migrate_pages": (256, 238),
    "move_pages": (279, 239),
    # kernel interfaces with a history
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "keyctl": (250, 219),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "userfaultfd": (323, 282),
    "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "kexec_load": (246, 104),
    "kexec_file_load": (320, 294),
    "init_module": (175, 105),
    "finit_module": (313, 273),
    "delete_module": (176, 106),
    "personality": (135, 92),
    "modify_ldt": (154, -1),
    "iopl": (172, -1),
    "ioperm": (173, -1),
    "lookup_dcookie": (212, 18),
    # the machine itself
    "reboot": (169, 142),
    "swapon": (167, 224),
    "swapoff": (168, 225),
    "sethostname": (170, 161),
    "setdomainname": (171, 162),
    "syslog": (103, 116),
    "acct": (163, 89),
    "quotactl": (179, 60),
    "quotactl_fd": (443, 443),
    "settimeofday": (164, 170),
    "clock_settime": (227, 112),
    "adjtimex": (159, 171),
    "clock_adjtime": (305, 266),
    "vhangup": (153, 58),
}
_CLONE3: Final = (435, 435)
_CLONE: Final = (56, 220)
_TGKILL: Final = (234, 131)
_PRLIMIT64: Final = (302, 261)
_PRCTL: Final = (157, 167)
_IOCTL: Final = (16, 29)


def _op(code: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    """One BPF instruction: `struct sock_filter {u16 code; u8 jt; u8 jf; u32 k}`."""
    return struct.pack("=HBBI", code, if_true, if_false, value & 0xFFFFFFFF)


def _on_argument(
    number: int, argument: int, comparison: int, values: tuple[int, ...], matched: int, otherwise: int
) -> list[bytes]:
    """For one system call, decides on the low half of one argument. On little-endian machines (both of ours) the low
    half comes first."""
    tests = [step for value in values for step in (_op(comparison, value, 0, 1), _op(_RETURN, matched))]
    return [
        _op(_JUMP_EQUAL, number, 0, len(tests) + 2),
        _op(_LOAD, _ARGS_OFFSET + 8 * argument),
        *tests,
        _op(_RETURN, otherwise),
    ]


def _filter_program(machine: str, own_pid: int) -> bytes:
    """The BPF program: what is not named here is allowed. The kernel caches calls that are always allowed, so its
    length costs nothing."""
    architecture, column, _ = _MACHINES[machine]
    refuse, absent = _ERRNO | errno.EPERM, _ERRNO | errno.ENOSYS
    program = [
        _op(_LOAD, _ARCH_OFFSET),
        _op(_JUMP_EQUAL, architecture, 1, 0),
        _op(_RETURN, _KILL_PROCESS),
        _op(_LOAD, _NR_OFFSET),
        _op(_JUMP_ABOVE, _X32_BIT - 1, 0, 1),
        _op(_RETURN, _KILL_PROCESS),
        _op(_JUMP_ABOVE, _NEWEST_KNOWN, 0, 1),
        _op(_RETURN, absent),
        # clone3 takes its flags by pointer, which a filter cannot read; without it libc falls back to clone.
        _op(_JUMP_EQUAL, _CLONE3[column], 0, 1),
        _op(_RETURN, absent),
    ]
    for numbers in _DENIED.values():
        if numbers[column] >= 0:
            program += [_op(_JUMP_EQUAL, numbers[column], 0, 1), _op(_RETURN, refuse)]
    # Threads only: with no second process there is nobody to outlive the worker.
    program += _on_argument(_CLONE[column], 0, _JUMP_ANY_BIT, (_CLONE_THREAD,), _ALLOW, refuse)
    program += _on_argument(_TGKILL[column], 0, _JUMP_EQUAL, (own_pid,), _ALLOW, refuse)
    program += _on_argument(_PRLIMIT64[column], 0, _JUMP_EQUAL, (0,), _ALLOW, refuse)
    program += _on_argument(_PRCTL[column], 0, _JUMP_EQUAL, (_PR_SET_PDEATHSIG,), refuse, _ALLOW)
    program += _on_argument(_IOCTL[column], 1, _JUMP_EQUAL, (_TIOCSTI, _TIOCLINUX), refuse, _ALLOW)
    return b"".join([*program, _op(_RETURN, _ALLOW)])


class _SockFprog(ctypes.Structure):
    _fields_ = (("len", ctypes.c_ushort), ("filter", ctypes.c_void_p))


def _syscall(number: int, *arguments: object) -> int:
    result = _libc.syscall(ctypes.c_long(number), *arguments)
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return int(result)


def _prctl(option: int, second: int = 0, third: int = 0) -> None:
    none = ctypes.c_ulong(0)
    if _libc.prctl(option, ctypes.c_ulong(second), ctypes.c_ulong(third), none, none) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))


def _no_new_privileges() -> None:
    _prctl(38, 1)  # PR_SET_NO_NEW_PRIVS


def filter_system_calls() -> None:
    """Installs the filter; it also holds for whatever program this process becomes."""
    machine = platform.machine()
    if machine not in _MACHINES:
        raise OSError(errno.ENOSYS, f"no system call table for {machine}")
    program = _filter_program(machine, os.getpid())
    buffer = ctypes.create_string_buffer(program, len(program))
    descriptor = _SockFprog(len(program) // 8, ctypes.cast(buffer, ctypes.c_void_p))
    set_mode_filter, speculation_allowed = ctypes.c_uint(1), ctypes.c_uint(4)
    # Speculative store bypass stays as it is: codecs run no foreign code, and older kernels would slow every filtered
    # process down.
    _syscall(_MACHINES[machine][2], set_mode_filter, speculation_allowed, ctypes.byref(descriptor))


# --- Landlock: linux/landlock.h --------------------------------------------------------------------------------------

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3
_REMOVE_DIR, _REMOVE_FILE, _MAKE_DIR, _MAKE_REG = 1 << 4, 1 << 5, 1 << 7, 1 << 8
_REFER, _TRUNCATE, _IOCTL_DEV = 1 << 13, 1 << 14, 1 << 15
_READ: Final = _READ_FILE | _READ_DIR
_WRITE: Final = _READ | _WRITE_FILE | _REMOVE_DIR | _REMOVE_FILE | _MAKE_DIR | _MAKE_REG | _REFER | _TRUNCATE
_FOR_FILES: Final = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE | _IOCTL_DEV
_SYSTEM_READS: Final = (
    "/lib",
    "/lib32",
    "/lib64",
    "/usr/lib",
    "/usr/lib64",
    "/usr/local/lib",
    "/etc/ld.so.cache",
    "/dev/null",
    "/dev/zero",
    "/dev/urandom",
    "/sys/devices/system/cpu",
    "/sys/devices/system/node",
    "/sys/kernel/mm/transparent_hugepage",
    "/proc/cpuinfo",
)


def landlock_abi() -> int:
    """The version of Landlock that the kernel offers; 0 where there is none."""
    try:
        return _syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), ctypes.c_uint(1))
    except OSError:
        return 0


def _handled(abi: int) -> int:
    handled = (1 << 13) - 1
    for version, right in ((2, _REFER), (3, _TRUNCATE), (5, _IOCTL_DEV)):
        if abi >= version:
            handled |= right
    return handled


def _allow(ruleset: int, path: str, rights: int, handled: int, required: bool) -> None:
    try:
        place = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        if required:
            raise
        return
    try:
        if not os.path.isdir(path):
            rights &= _FOR_FILES
        rule = struct.pack("=Qi", rights & handled, place)
        _syscall(_ADD_RULE, ctypes.c_int(ruleset), ctypes.c_int(1), ctypes.c_char_p(rule), ctypes.c_uint(0))
    finally:
        os.close(place)


def restrict_files(program: str, reads: list[str], writes: list[str]) -> int:
    """Applies Landlock and returns its version; 0 when the kernel has none."""
    abi = landlock_abi()
    if abi == 0:
        return 0
    handled = _handled(abi)
    # Neither TCP (version 4) nor abstract sockets and signals to others (version 6).
    attributes = struct.pack("=QQQ", handled, 3 if abi >= 4 else 0, 3 if abi >= 6 else 0)
    ruleset = _syscall(_CREATE_RULESET, ctypes.c_char_p(attributes), ctypes.c_size_t(len(attributes)), ctypes.c_uint(0))
    interpreter = elf_interpreter(program)
    for executable in [program, interpreter] if interpreter else [program]:
        _allow(ruleset, executable, _EXECUTE | _READ_FILE, handled, required=True)
        _allow(ruleset, os.path.dirname(executable), _READ, handled, required=True)
    for path in _SYSTEM_READS:
        _allow(ruleset, path, _READ, handled, required=False)
    _allow(ruleset, "/dev/null", _READ_FILE | _WRITE_FILE, handled, required=False)
    for path in reads:
        _allow(ruleset, path, _READ, handled, required=True)
    for path in writes:
        _allow(ruleset, path, _WRITE, handled, required=True)
    _syscall(_RESTRICT_SELF, ctypes.c_int(ruleset), ctypes.c_uint(0))
    os.close(ruleset)
    return abi


def elf_interpreter(program: str) -> str:
    """The dynamic loader that a program names (PT_INTERP of its 64-bit ELF header), which the kernel executes with it.
    Empty if static."""
    with open(program, "rb") as file:
        header = file.read(64)
        if header[:5] != b"\x7fELF\x02" or len(header) < 64:
            return ""
        (offset,) = struct.unpack_from("<Q", header, 32)
        size, count = struct.unpack_from("<HH", header, 54)
        for index in range(count):
            file.seek(offset + index * size)
            kind, _, start, _, _, length = struct.unpack("<IIQQQQ", file.read(40))
            if kind == 3:
                file.seek(start)
                return file.read(length).rstrip(b"\0").decode()
    return ""


# --- namespace, capabilities, limits ---------------------------------------------------------------------------------

_CLONE_NEWUSER, _CLONE_NEWNET = 0x10000000, 0x40000000


def leave_the_network() -> bool:
    """Moves into an empty network namespace. True if that was permitted; the seccomp filter refuses sockets either
    way."""
    if _libc.unshare(_CLONE_NEWNET) == 0:
        return True
    user, group = os.geteuid(), os.getegid()
    if _libc.unshare(_CLONE_NEWUSER | _CLONE_NEWNET) != 0:
        return False
    with contextlib.suppress(OSError):
        for name, line in (("setgroups", "deny"), ("uid_map", f"{user} {user} 1"), ("gid_map", f"{group} {group} 1")):
            with open(f"/proc/self/{name}", "w") as file:
                file.write(line)
    return True


def drop_capabilities() -> None:
    """Gives up every capability for good, root's too (capabilities(7))."""
    with contextlib.suppress(OSError):
        _prctl(47, 4)  # PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL
    for capability in range(64):
        try:
            _prctl(24, capability)  # PR_CAPBSET_DROP
        except OSError:
            break
    header = struct.pack("=Ii", 0x20080522, 0)  # _LINUX_CAPABILITY_VERSION_3, this process
    number = {"x86_64": 126, "aarch64": 91}[platform.machine()]
    _syscall(number, ctypes.c_char_p(header), ctypes.c_char_p(bytes(24)))


def _die_with(parent: int) -> None:
    """Killed when the parent's thread ends; gone at once if it has ended already."""
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def _limit(limits: dict[str, int]) -> None:
    """Sets resource limits, never above what this process itself was given."""
    for name, value in limits.items():
        kind = getattr(resource, f"RLIMIT_{name}")
        _, most = resource.getrlimit(kind)
        soft = value if most == resource.RLIM_INFINITY else min(value, most)
        # A second more before SIGKILL, so that the end by SIGXCPU can be told from a kill.
        hard = soft + 1 if name == "CPU" and (most == resource.RLIM_INFINITY or soft < most) else soft
        resource.setrlimit(kind, (soft, hard))


def _become(policy: dict[str, Any], status: int) -> NoReturn:
    applied: dict[str, Any] = {"network_namespace": leave_the_network()}
    drop_capabilities()
    _no_new_privileges()
    _die_with(policy["parent"])
    applied["landlock_abi"] = restrict_files(policy["argv"][0], policy["reads"], policy["writes"])
    if policy["nice"]:
        os.nice(policy["nice"])
    _limit(policy["limits"])
    filter_system_calls()
    os.write(status, json.dumps(applied).encode() + b"\n")
    os.execve(policy["argv"][0], policy["argv"], policy["environment"])


def _try_everything() -> dict[str, Any]:
    """What this machine allows, found out by doing it."""
    found: dict[str, Any] = {"landlock_abi": landlock_abi(), "network_namespace": leave_the_network()}
    found |= {"seccomp": False, "problem": ""}
    try:
        _no_new_privileges()
        filter_system_calls()
        found["seccomp"] = True
    except OSError as error:
        found["problem"] = str(error)
    return found


def main() -> None:
    """`confine.py <policy fd> <status fd>` or `confine.py --capabilities`."""
    if sys.argv[1:] == ["--capabilities"]:
        print(json.dumps(_try_everything()))
        return
    policy_fd, status = int(sys.argv[1]), int(sys.argv[2])
    os.set_inheritable(status, False)
    try:
        with open(policy_fd, "rb") as file:
            policy = json.load(file)
        _become(policy, status)
    except Exception as error:
        os.write(status, json.dumps({"error": f"{type(error).__name__}: {error}"}).encode() + b"\n")
        os._exit(126)


if __name__ == "__main__":
    main()
