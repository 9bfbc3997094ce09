"""A program that was given a stranger's file can harm nobody. The program here is Python itself, which tries things on
purpose."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from services.kit import sandbox
from services.kit.sandbox import MIB, ConfinementFailed, Finished, Hidden, Limits, SecretFile, Stop

PYTHON = Path(sys.executable).resolve()
LIBRARY = Path(os.__file__).resolve().parent
LIMITS = Limits(wall_seconds=20, cpu_seconds=10, memory_bytes=512 * MIB, file_bytes=MIB)
CAPABILITIES = sandbox.capabilities()
needs_landlock = pytest.mark.skipif(CAPABILITIES.landlock_abi == 0, reason="this kernel has no Landlock")


async def attempt(
    code: str,
    *arguments: sandbox.Argument,
    limits: Limits = LIMITS,
    reads: tuple[Path, ...] = (),
    writes: tuple[Path, ...] = (),
) -> Finished:
    return await sandbox.run(
        [PYTHON, "-I", "-S", "-c", code, *arguments], reads=[LIBRARY, *reads], writes=writes, limits=limits
    )


async def test_output_exit_status_and_costs_come_back() -> None:
    finished = await attempt("import sys; print('out'); print('err', file=sys.stderr); sys.exit(3)")
    assert (finished.returncode, finished.stdout, finished.stderr_tail) == (3, b"out\n", "err\n")
    assert finished.stopped_by is None
    assert not finished.ok
    assert 0 < finished.cpu_seconds <= finished.wall_seconds * (os.cpu_count() or 1) + 0.1
    assert finished.peak_memory_bytes > MIB


def test_the_filter_without_which_nothing_runs_is_available() -> None:
    assert CAPABILITIES.seccomp, CAPABILITIES.problem


@pytest.mark.parametrize("family", ["AF_INET", "AF_INET6", "AF_UNIX", "AF_NETLINK", "AF_VSOCK"])
async def test_no_socket_of_any_family_can_be_made(family: str) -> None:
    finished = await attempt(f"import socket; socket.socket(socket.{family}, socket.SOCK_STREAM)")
    assert "PermissionError" in finished.stderr_tail


async def test_nothing_reaches_a_listener_on_loopback() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0.2)
        port = listener.getsockname()[1]
        finished = await attempt(f"import socket; socket.create_connection(('127.0.0.1', {port}), 2)")
        assert finished.returncode != 0
        with pytest.raises(TimeoutError):
            listener.accept()


@needs_landlock
async def test_a_file_that_was_not_given_cannot_be_read(tmp_path: Path) -> None:
    given, other = tmp_path / "given", tmp_path / "other"
    given.write_text("given")
    other.write_text("other")
    code = "import sys; print(open(sys.argv[1]).read()); print(open(sys.argv[2]).read())"
    finished = await attempt(code, given, other, reads=(given,))
    assert finished.stdout == b"given\n"
    assert "PermissionError" in finished.stderr_tail


@needs_landlock
@pytest.mark.parametrize("place", ["/etc/passwd", "/proc/1/environ", "/proc/self/environ", str(Path.home())])
async def test_the_machine_cannot_be_looked_around_in(place: str) -> None:
    finished = await attempt("import os, sys; os.open(sys.argv[1], os.O_RDONLY)", place)
    assert "PermissionError" in finished.stderr_tail or "FileNotFoundError" in finished.stderr_tail


@needs_landlock
async def test_only_the_given_folder_can_be_written(tmp_path: Path) -> None:
    work = tmp_path / "work"
    work.mkdir()
    inside, outside = work / "made", tmp_path / "made"
    assert (await attempt("import sys; open(sys.argv[1], 'w').write('x')", inside, writes=(work,))).ok
    finished = await attempt("import sys; open(sys.argv[1], 'w').write('x')", outside, writes=(work,))
    assert "PermissionError" in finished.stderr_tail
    assert inside.read_text() == "x"
    assert not outside.exists()


async def test_a_given_file_is_not_writable(tmp_path: Path) -> None:
    master = tmp_path / "master"
    master.write_text("immutable")
    if CAPABILITIES.landlock_abi == 0:
        pytest.skip("this kernel has no Landlock")
    assert not (await attempt("import sys; open(sys.argv[1], 'w')", master, reads=(master,))).ok
    assert master.read_text() == "immutable"


@pytest.mark.parametrize(
    "code",
    [
        "import os; os.fork()",
        "import subprocess; subprocess.run(['/bin/true'])",
        "import os; os.kill(os.getppid(), 0)",
        "import os; os.setsid()",
        "import resource; resource.prlimit(1, resource.RLIMIT_CORE)",
        "import os; os.memfd_create('x')",
    ],
)
async def test_there_is_no_other_process_to_make_or_to_touch(code: str) -> None:
    finished = await attempt(code)
    assert "PermissionError" in finished.stderr_tail


async def test_threads_are_allowed() -> None:
    code = "import threading; t = threading.Thread(target=print, args=('thread',)); t.start(); t.join()"
    assert (await attempt(code)).stdout == b"thread\n"


async def test_nothing_of_our_environment_is_passed_on() -> None:
    assert (await attempt("import os; print(sorted(os.environ))")).stdout == b"['GLIBC_TUNABLES', 'LC_ALL']\n"


async def test_root_keeps_no_capability() -> None:
    code = "import os; print(os.stat('/proc/self').st_uid); os.nice(-5)"
    assert "PermissionError" in (await attempt(code)).stderr_tail


async def test_the_wall_clock_ends_a_program_that_sleeps() -> None:
    finished = await attempt("import time; time.sleep(60)", limits=replace(LIMITS, wall_seconds=0.5))
    assert finished.stopped_by is Stop.WALL
    assert finished.wall_seconds < 30


async def test_processor_time_ends_a_program_that_spins() -> None:
    finished = await attempt("while True: pass", limits=replace(LIMITS, cpu_seconds=1))
    assert finished.stopped_by is Stop.CPU


async def test_a_file_beyond_its_limit_ends_the_program(tmp_path: Path) -> None:
    code = "import signal as s, sys; s.signal(s.SIGXFSZ, s.SIG_DFL); open(sys.argv[1], 'wb').write(bytes(1 << 21))"
    finished = await attempt(code, tmp_path / "big", writes=(tmp_path,))
    assert finished.stopped_by is Stop.FILE_SIZE
    assert (tmp_path / "big").stat().st_size <= MIB


async def test_output_beyond_its_limit_ends_the_program() -> None:
    code = "while True: print('x' * 1000)"
    finished = await sandbox.run(
        [PYTHON, "-I", "-S", "-c", code], reads=[LIBRARY], limits=LIMITS, stdout_limit=64 * 1024
    )
    assert finished.stopped_by is Stop.STDOUT


async def test_memory_beyond_the_limit_is_refused() -> None:
    finished = await attempt("bytearray(1 << 30)")
    assert "MemoryError" in finished.stderr_tail


async def test_each_line_is_told_as_it_comes() -> None:
    lines: list[str] = []
    code = "for i in range(3): print('frame', i)"
    finished = await sandbox.run(
        [PYTHON, "-I", "-S", "-c", code], reads=[LIBRARY], limits=LIMITS, on_progress_line=lines.append
    )
    assert finished.ok
    assert lines == ["frame 0", "frame 1", "frame 2"]


async def test_standard_input_can_be_bytes_or_a_descriptor(tmp_path: Path) -> None:
    code = "import sys; print(sys.stdin.read())"
    argv: list[sandbox.Argument] = [PYTHON, "-I", "-S", "-c", code]
    assert (await sandbox.run(argv, reads=[LIBRARY], limits=LIMITS, stdin=b"bytes")).stdout == b"bytes\n"
    (tmp_path / "in").write_text("file")
    with (tmp_path / "in").open() as file:
        assert (await sandbox.run(argv, reads=[LIBRARY], limits=LIMITS, stdin=file.fileno())).stdout == b"file\n"


async def test_a_secret_is_read_from_a_file_and_never_shown(caplog: pytest.LogCaptureFixture) -> None:
    """Arguments are visible to every user of the machine; the secret's path is all that stands there."""
    code = "import sys; print(sys.argv); print(open(sys.argv[1].removeprefix('--keys=')).read())"
    with caplog.at_level(logging.INFO, logger="services.kit.sandbox"):
        finished = await attempt(code, SecretFile(b"00112233", prefix="--keys="), Hidden("token"))
    arguments, secret = finished.stdout.decode().splitlines()
    assert secret == "00112233"
    assert "00112233" not in arguments
    assert "--keys=<secret> <hidden>" in caplog.text
    assert "00112233" not in caplog.text
    assert "token" not in caplog.text


def pipes() -> set[str]:
    """The pipes that this process has an end of."""
    found = set()
    for entry in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # that of this very folder
            found.add(str(entry.readlink()))
    return {one for one in found if one.startswith("pipe:")}


async def test_a_run_that_is_cancelled_at_once_leaves_no_pipe_open() -> None:
    """Before anybody reads what the program says: then nobody else closes its pipes."""
    await attempt("pass")
    before = pipes()
    for steps in range(8):
        task = asyncio.create_task(attempt("import time; time.sleep(60)"))
        for _ in range(steps):
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        async with asyncio.timeout(10):  # a transport closes its pipe a step later
            while pipes() - before:
                await asyncio.sleep(0.01)


async def test_a_cancelled_run_takes_its_program_along(tmp_path: Path) -> None:
    said = tmp_path / "pid"
    code = "import os, sys, time; open(sys.argv[1], 'w').write(str(os.getpid())); time.sleep(60)"
    task = asyncio.create_task(attempt(code, said, writes=(tmp_path,)))
    pid = await _pid_in(said)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not _alive(pid)


async def test_a_killed_worker_takes_its_program_along(tmp_path: Path) -> None:
    """kill -9 of a worker leaves no encoder behind."""
    said = tmp_path / "pid"
    child = "import os, sys, time; open(sys.argv[1], 'w').write(str(os.getpid())); time.sleep(60)"
    worker = (
        "import asyncio, sys; from pathlib import Path; from services.kit.sandbox import Limits, run\n"
        f"limits = Limits({LIMITS.wall_seconds}, {LIMITS.cpu_seconds}, {LIMITS.memory_bytes}, {LIMITS.file_bytes})\n"
        f"argv = [{str(PYTHON)!r}, '-I', '-S', '-c', {child!r}, {str(said)!r}]\n"
        f"asyncio.run(run(argv, reads=[Path({str(LIBRARY)!r})], writes=[Path({str(tmp_path)!r})], limits=limits))"
    )
    with subprocess.Popen([sys.executable, "-c", worker], cwd=Path(sandbox.__file__).parents[2]) as process:
        try:
            pid = await _pid_in(said)
            assert _alive(pid)
        finally:
            process.kill()
    deadline = time.monotonic() + 30
    while _alive(pid) and time.monotonic() < deadline:
        await asyncio.sleep(0.02)
    assert not _alive(pid)


async def test_what_cannot_be_started_is_said() -> None:
    with pytest.raises(FileNotFoundError):
        await sandbox.run([Path("/no/such/program")], limits=LIMITS)
    with pytest.raises(FileNotFoundError):
        await sandbox.run([PYTHON], reads=[Path("/no/such/input")], limits=LIMITS)


async def test_a_program_that_cannot_be_shut_in_is_not_started(tmp_path: Path) -> None:
    """Refused resource limits stand for any step of the confinement that fails."""
    made = tmp_path / "made"
    with pytest.raises(ConfinementFailed):
        await attempt(
            "import sys; open(sys.argv[1], 'w')", made, writes=(tmp_path,), limits=replace(LIMITS, open_files=-7)
        )
    assert not made.exists()


async def _pid_in(file: Path) -> int:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if file.exists() and file.read_text():
            return int(file.read_text())
        await asyncio.sleep(0.02)
    raise AssertionError("the program did not start")


def _alive(pid: int) -> bool:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):  # the latter when it vanishes between opening and reading
        return False
    # A killed process whose parent was killed too may wait for init to reap it.
    return stat.rpartition(")")[2].split()[0] not in ("Z", "X")
