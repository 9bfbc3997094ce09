"""The one place that starts a program on data that a stranger sent.

The program gets no network, no other process, no environment, only the files it was given, and limits on time, memory
and output (`services.kit.confine` does the shutting in). It dies with this process, and with the task that waits for
it.
"""

from __future__ import annotations

import asyncio
import contextlib
import enum
import json
import logging
import os
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Final

from services.kit.uncancelled import uncancelled

log = logging.getLogger(__name__)

MIB: Final = 1 << 20
_LAUNCHER: Final = str(Path(__file__).with_name("confine.py").resolve())
_STDERR_TAIL: Final = 16 * 1024
_LONGEST_LINE: Final = 64 * 1024
# Nothing of ours; and large pages for large buffers, which saves encoders 2 to 4 % of their time.
_ENVIRONMENT: Final = {"LC_ALL": "C", "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1"}


@dataclass(frozen=True, slots=True)
class SecretFile:
    """An argument that is the path of a file with this content. It exists in memory only, for this one program.

    Args:
        content: what the program will read.
        prefix: text before the path in the same argument, such as `--flagfile=`.
    """

    content: bytes = field(repr=False)
    prefix: str = ""


@dataclass(frozen=True, slots=True)
class Hidden:
    """An argument that is not to appear in logs. Other users of the machine can still see it: use `SecretFile` for
    keys."""

    text: str = field(repr=False)


Argument = str | Path | SecretFile | Hidden


@dataclass(frozen=True, slots=True)
class Limits:
    """What a program may use up.

    Attributes:
        wall_seconds: time until it is killed.
        cpu_seconds: processor time of all its threads together.
        memory_bytes: memory it may have for itself, libraries and program text not counted.
        file_bytes: size of the largest file it may write.
        open_files: descriptors.
        nice: added to the niceness of this process; 10 leaves the processor to whoever serves people.
    """

    wall_seconds: float
    cpu_seconds: int
    memory_bytes: int
    file_bytes: int
    open_files: int = 128
    nice: int = 0


class Stop(enum.Enum):
    """The limit that ended a program."""

    WALL = "wall clock time"
    CPU = "processor time"
    FILE_SIZE = "size of a written file"
    STDOUT = "size of standard output"


@dataclass(frozen=True, slots=True)
class Finished:
    """How a program ended.

    Attributes:
        returncode: exit status, or minus the signal that ended it.
        stdout: what it wrote, empty if lines went to a callback.
        stderr_tail: the last 16 KiB of its complaints.
        cpu_seconds: processor time used, the 30 ms of the launcher included.
        wall_seconds: time from start to end.
        peak_memory_bytes: largest resident set.
        stopped_by: the limit that it ran into; None if none. Memory is refused, not stopped: the program then says so
            itself.
        landlock_abi: version of Landlock that held it; 0 for none.
        network_namespace: whether it had a network namespace of its own besides the system call filter.
    """

    returncode: int
    stdout: bytes
    stderr_tail: str
    cpu_seconds: float
    wall_seconds: float
    peak_memory_bytes: int
    stopped_by: Stop | None
    landlock_abi: int
    network_namespace: bool

    @property
    def ok(self) -> bool:
        """It ended by itself, with success."""
        return self.returncode == 0 and self.stopped_by is None


class ConfinementFailed(RuntimeError):
    """The program was not started, because it could not be shut in."""


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What this machine can shut a program in with.

    Attributes:
        seccomp: the system call filter, without which nothing is run.
        landlock_abi: version of Landlock; 0 means that programs can read whatever this user can read.
        network_namespace: whether an empty network namespace can be had.
        problem: why seccomp cannot be used; empty if it can.
    """

    seccomp: bool
    landlock_abi: int
    network_namespace: bool
    problem: str


def capabilities() -> Capabilities:
    """Tries out, in a process of its own, what this machine allows."""
    command = [sys.executable, "-I", "-S", _LAUNCHER, "--capabilities"]
    answer = subprocess.run(command, capture_output=True, env={}, timeout=20, check=False)
    if answer.returncode != 0:
        complaint = answer.stderr.decode(errors="replace").strip()[-500:]
        return Capabilities(False, 0, False, complaint or f"exit status {answer.returncode}")
    found = json.loads(answer.stdout)
    return Capabilities(found["seccomp"], found["landlock_abi"], found["network_namespace"], found["problem"])


async def run(
    argv: Sequence[Argument],
    *,
    reads: Sequence[Path] = (),
    writes: Sequence[Path] = (),
    limits: Limits,
    stdin: bytes | int | None = None,
    pass_fds: Sequence[int] = (),
    on_progress_line: Callable[[str], None] | None = None,
    on_output: Callable[[bytes], Awaitable[bool]] | None = None,
    stdout_limit: int = 4 * MIB,
) -> Finished:
    """Runs a program shut in, and waits for its end.

    Args:
        argv: the program's absolute path, then its arguments.
        reads: files it may read, and folders it may read all of.
        writes: folders it may make files in, and files it may write.
        limits: what it may use up.
        stdin: what it reads: bytes, a descriptor, or nothing.
        pass_fds: descriptors it inherits under the same numbers.
        on_progress_line: called with each line of its standard output, which is then not kept.
        on_output: called with the next bytes of its standard output, which are then not kept, and waited for before more are read. When it
            returns False the program is ended.
        stdout_limit: bytes of standard output that are kept; the program is stopped beyond it.

    Raises:
        ConfinementFailed: it could not be shut in, so it was not started.
        FileNotFoundError: the program, or a place named in `reads` or `writes`, does not exist.
    """
    program = Path(_text(argv[0]))
    for place in (program, *reads, *writes):
        if not place.exists():
            raise FileNotFoundError(f"{place} does not exist")
    log.info("run %s", quoted(argv))
    with contextlib.ExitStack() as descriptors:
        arguments, secret_fds = _with_secret_files(argv, descriptors)
        policy_fd = descriptors.enter_context(_in_memory("policy", _policy(arguments, program, reads, writes, limits)))
        status_read, status_write = _pipe(descriptors)
        child = _Child(
            [sys.executable, "-I", "-S", _LAUNCHER, str(policy_fd), str(status_write)],
            stdin=descriptors.enter_context(_in_memory("stdin", stdin)) if isinstance(stdin, bytes) else stdin,
            pass_fds=(policy_fd, status_write, *secret_fds, *pass_fds),
        )
        os.close(status_write)
        stopped_by, stdout, stderr = await child.finish(limits.wall_seconds, on_progress_line, on_output, stdout_limit)
        applied = _read_status(status_read, child, stderr)
    return _finished(child, applied, stopped_by, stdout, stderr)


def quoted(argv: Sequence[Argument]) -> str:
    """The command as a shell would take it, with secrets left out."""

    def shown(argument: Argument) -> str:
        if isinstance(argument, SecretFile):
            return f"{argument.prefix}<secret>"
        return "<hidden>" if isinstance(argument, Hidden) else shlex.quote(str(argument))

    return " ".join(shown(argument) for argument in argv)


def _text(argument: Argument) -> str:
    if isinstance(argument, SecretFile):
        raise TypeError("a secret file has no path before the program is started")
    return argument.text if isinstance(argument, Hidden) else str(argument)


@contextlib.contextmanager
def _in_memory(name: str, content: bytes) -> Iterator[int]:
    """A descriptor of a nameless file with this content, to be read from its start."""
    descriptor = os.memfd_create(name)
    try:
        with open(descriptor, "wb", closefd=False) as file:
            file.write(content)
        os.lseek(descriptor, 0, os.SEEK_SET)
        yield descriptor
    finally:
        os.close(descriptor)


def _pipe(descriptors: contextlib.ExitStack) -> tuple[int, int]:
    reading, writing = os.pipe()
    descriptors.callback(os.close, reading)
    return reading, writing


def _with_secret_files(argv: Sequence[Argument], descriptors: contextlib.ExitStack) -> tuple[list[str], list[int]]:
    arguments, secret_fds = [], []
    for argument in argv:
        if isinstance(argument, SecretFile):
            secret_fds.append(descriptors.enter_context(_in_memory("secret", argument.content)))
            arguments.append(f"{argument.prefix}/proc/self/fd/{secret_fds[-1]}")
        else:
            arguments.append(_text(argument))
    return arguments, secret_fds


def _policy(
    arguments: list[str], program: Path, reads: Sequence[Path], writes: Sequence[Path], limits: Limits
) -> bytes:
    # Address space is a second bound, for memory that RLIMIT_DATA does not count; libc reserves up to 8 arenas of 64
    # MiB per processor.
    address_space = limits.memory_bytes + (os.cpu_count() or 1) * 8 * 64 * MIB + 1024 * MIB
    policy = {
        "parent": os.getpid(),
        "argv": [str(program.resolve()), *arguments[1:]],
        "environment": _ENVIRONMENT,
        "reads": [str(place.resolve()) for place in reads],
        "writes": [str(place.resolve()) for place in writes],
        "nice": limits.nice,
        "limits": {
            "CPU": limits.cpu_seconds,
            "DATA": limits.memory_bytes,
            "AS": address_space,
            "FSIZE": limits.file_bytes,
            "NOFILE": limits.open_files,
            "CORE": 0,
            "MEMLOCK": 0,
        },
    }
    return json.dumps(policy).encode()


class _Child:
    """A started program. It leads a process group of its own and is reaped by a thread, which learns what it used
    up."""

    def __init__(self, command: Sequence[str], stdin: int | None, pass_fds: Sequence[int]) -> None:
        self.started = time.monotonic()
        # Started from the event loop's own thread: "dies with its parent" is about the thread that made it.
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL if stdin is None else stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            pass_fds=pass_fds,
            start_new_session=True,
            env={},
            cwd="/",
        )
        # Closed here, unless somebody reads them: whoever is cancelled at once does not come to that.
        self._unread = {self._process.stdout, self._process.stderr}
        loop = asyncio.get_running_loop()
        self._ended: asyncio.Future[None] = loop.create_future()
        self._lock = threading.Lock()
        self._reaped = False
        self.cpu_seconds = 0.0
        self.wall_seconds = 0.0
        self.peak_memory_bytes = 0
        threading.Thread(target=self._reap, args=(loop,), daemon=True, name="sandbox-reaper").start()

    @property
    def returncode(self) -> int:
        """Exit status once it has ended."""
        return self._process.returncode if self._process.returncode is not None else -signal.SIGKILL

    def _reap(self, loop: asyncio.AbstractEventLoop) -> None:
        # Waits first without reaping, so that the process id is never signalled after it was given back.
        os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOWAIT)
        with self._lock:
            _, status, usage = os.wait4(self._process.pid, 0)
            self._reaped = True
        self._process.returncode = os.waitstatus_to_exitcode(status)
        self.wall_seconds = time.monotonic() - self.started
        self.cpu_seconds = usage.ru_utime + usage.ru_stime
        self.peak_memory_bytes = usage.ru_maxrss * 1024
        with contextlib.suppress(RuntimeError):  # the loop may be gone
            loop.call_soon_threadsafe(self._tell)

    def _tell(self) -> None:
        if not self._ended.done():
            self._ended.set_result(None)

    def kill(self) -> None:
        """Ends the whole group at once."""
        with self._lock:
            if not self._reaped:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(self._process.pid, signal.SIGKILL)

    async def finish(
        self,
        wall_seconds: float,
        on_line: Callable[[str], None] | None,
        on_output: Callable[[bytes], Awaitable[bool]] | None,
        stdout_limit: int,
    ) -> tuple[Stop | None, bytes, bytes]:
        """Reads what it says until it ends or must be ended: (limit that stopped it, stdout, tail of stderr)."""
        stopped_by: Stop | None = None
        kept = bytearray()
        tail = _Tail(_STDERR_TAIL)

        async def read_stdout() -> None:
            nonlocal stopped_by
            async with self._reader(self._process.stdout) as reader:
                if on_line is not None:
                    await _each_line(reader, on_line)
                    return
                while block := await reader.read(64 * 1024):
                    if on_output is not None:
                        if not await on_output(block):
                            self.kill()
                            return
                        continue
                    kept.extend(block)
                    if len(kept) > stdout_limit:
                        stopped_by = Stop.STDOUT
                        self.kill()
                        return

        async def read_stderr() -> None:
            async with self._reader(self._process.stderr) as reader:
                while block := await reader.read(64 * 1024):
                    tail.add(block)

        try:
            async with asyncio.timeout(wall_seconds):
                async with asyncio.TaskGroup() as group:
                    group.create_task(read_stdout())
                    group.create_task(read_stderr())
                await asyncio.shield(self._ended)
        except TimeoutError:
            stopped_by = Stop.WALL
        finally:
            self._close_unread()
            self.kill()
            await asyncio.shield(self._ended)
        return stopped_by, bytes(kept), tail.content()

    @contextlib.asynccontextmanager
    async def _reader(self, pipe: IO[bytes] | None) -> AsyncIterator[asyncio.StreamReader]:
        """Reads a pipe without blocking, and closes it at the end."""
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader(limit=_LONGEST_LINE)
        transports: list[asyncio.ReadTransport] = []

        async def connect() -> None:
            self._unread.discard(pipe)
            transport, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), pipe)
            transports.append(transport)

        try:
            # Cancelled on the way, uvloop closes the descriptor but not the file object, which would close whatever has its number by then.
            await uncancelled(connect())
            yield reader
        finally:
            for transport in transports:
                transport.close()

    def _close_unread(self) -> None:
        for pipe in self._unread:
            if pipe is not None:
                pipe.close()


class _Tail:
    """The last bytes of a stream."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._blocks: deque[bytes] = deque()
        self._held = 0

    def add(self, block: bytes) -> None:
        self._blocks.append(block)
        self._held += len(block)
        while self._held - len(self._blocks[0]) >= self._size:
            self._held -= len(self._blocks.popleft())

    def content(self) -> bytes:
        return b"".join(self._blocks)[-self._size :]


async def _each_line(reader: asyncio.StreamReader, on_line: Callable[[str], None]) -> None:
    while True:
        try:
            line = await reader.readline()
        except ValueError:  # a line without end: it has been thrown away
            continue
        if not line:
            return
        on_line(line.decode(errors="replace").rstrip("\r\n"))


def _read_status(status_read: int, child: _Child, stderr: bytes) -> dict[str, int]:
    """What the launcher applied."""
    os.set_blocking(status_read, False)
    try:
        said = os.read(status_read, 65536)
    except BlockingIOError:
        said = b""
    lines = [json.loads(line) for line in said.splitlines()]
    for line in lines:
        if "error" in line:
            raise ConfinementFailed(f"the program was not started: {line['error']}")
    if not lines:
        if child.returncode == -signal.SIGKILL:
            return {"landlock_abi": 0, "network_namespace": 0}  # killed before it had begun
        raise ConfinementFailed(f"the launcher ended with {child.returncode}: {stderr.decode(errors='replace')[-500:]}")
    applied: dict[str, int] = lines[0]
    return applied


def _finished(
    child: _Child, applied: dict[str, int], stopped_by: Stop | None, stdout: bytes, stderr: bytes
) -> Finished:
    if stopped_by is None:
        stopped_by = {-signal.SIGXCPU: Stop.CPU, -signal.SIGXFSZ: Stop.FILE_SIZE}.get(child.returncode)
    done = Finished(
        returncode=child.returncode,
        stdout=stdout,
        stderr_tail=stderr.decode(errors="replace"),
        cpu_seconds=child.cpu_seconds,
        wall_seconds=child.wall_seconds,
        peak_memory_bytes=child.peak_memory_bytes,
        stopped_by=stopped_by,
        landlock_abi=applied["landlock_abi"],
        network_namespace=bool(applied["network_namespace"]),
    )
    outcome = f"stopped: {stopped_by.value}" if stopped_by else f"exit {done.returncode}"
    costs = f"{done.wall_seconds:.2f} s ({done.cpu_seconds:.2f} s of processor, {done.peak_memory_bytes // MIB} MiB)"
    log.info("ended with %s after %s", outcome, costs)
    return done
