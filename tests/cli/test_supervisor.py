"""The supervisor on two real stores and two small processes: it repairs what dies, and leaves nothing behind."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.command import Installation, eventually, parsed
from tests.support.ports import free_port
from tools.reelmesh_cli.supervisor.state import read_state, running_state

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Installation, str]]:
    """A small mesh that is up, and what was said when it was started. Its folder is open to nobody else, as /root is."""
    installation = Installation(tmp_path_factory.mktemp("mesh") / "data", free_port())
    up = installation.up()
    assert up.returncode == 0, up.stdout + up.stderr
    yield installation, up.stdout
    stopped = installation.run("down")
    assert stopped.returncode == 0, stopped.stdout + stopped.stderr


@pytest.fixture(scope="module")
def running(started: tuple[Installation, str]) -> Installation:
    """The small mesh that is up."""
    return started[0]


@pytest.fixture(scope="module")
def old_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where a mesh is that is started again and again."""
    return tmp_path_factory.mktemp("again") / "data"


@pytest.fixture
def installation(old_data: Path) -> Iterator[Installation]:
    """A small mesh that is not up; it may have been before, however that ended."""
    one = Installation(old_data, free_port())
    yield one
    if running_state(one.layout) is not None:
        one.run("down")
    assert eventually(lambda: not one.living())


def test_up_says_that_it_is_ready_and_where(started: tuple[Installation, str]) -> None:
    installation, said = started
    assert said.splitlines()[-1] == f"Reelmesh is ready at http://127.0.0.1:{installation.port}"
    assert installation.ready()


def test_a_second_start_finds_the_data_of_the_first(installation: Installation) -> None:
    installation.up()
    key = installation.run("key").stdout
    down = installation.run("down")
    assert down.returncode == 0, down.stderr
    assert installation.living() == []
    assert installation.up().returncode == 0
    assert installation.run("key").stdout == key
    *_, first, second = (int(line.split()[1]) for line in installation.said("prepare") if line.startswith("runs:"))
    assert second == first + 1


@pytest.mark.parametrize("name", ["postgres", "nats", "idler"])
def test_a_killed_process_is_back_in_seconds(running: Installation, name: str) -> None:
    pid, restarts = running.pid(name), running.process(name).restarts
    os.kill(pid, signal.SIGKILL)
    assert eventually(lambda: running.process(name).restarts == restarts + 1)
    assert eventually(running.ready)
    assert running.pid(name) != pid
    assert running.process(name).last_exit == "killed by SIGKILL"


def test_what_a_killed_process_had_started_is_ended(running: Installation) -> None:
    """Whoever takes its work over must not meet it again."""
    child = int(next(line for line in reversed(running.said("idler")) if line.startswith("child:")).split()[1])
    restarts = running.process("idler").restarts
    os.kill(running.pid("idler"), signal.SIGKILL)
    assert eventually(lambda: running.process("idler").restarts == restarts + 1)
    assert eventually(lambda: not Path(f"/proc/{child}").exists())
    assert eventually(running.ready)


def test_a_killed_zygote_takes_nothing_along(running: Installation) -> None:
    before = {name: running.pid(name) for name in ("postgres", "nats", "idler")}
    state = read_state(running.layout)
    assert state is not None
    assert state.zygote is not None
    os.kill(state.zygote.pid, signal.SIGKILL)
    os.kill(before["idler"], signal.SIGKILL)
    assert eventually(lambda: running.process("idler").identity is not None and running.pid("idler") != before["idler"])
    assert eventually(running.ready)
    assert (running.pid("postgres"), running.pid("nats")) == (before["postgres"], before["nats"])


def test_a_second_up_says_that_one_runs_already(running: Installation) -> None:
    second = running.up()
    assert second.returncode == 1
    assert f"already runs from {running.layout.data}" in second.stderr
    assert "reelmesh down" in second.stderr
    assert running.ready()


def test_a_taken_port_is_named_and_another_proposed(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        one = Installation(tmp_path / "data", taken.getsockname()[1])
        refused = one.up()
    assert refused.returncode == 1
    assert f"Port {one.port} is in use by" in refused.stderr
    assert "--port" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_status_tells_what_runs_and_what_it_takes(running: Installation) -> None:
    told = parsed(running.run("status", "--json"))
    assert told["state"] == "ready"
    assert told["url"] == f"http://127.0.0.1:{running.port}"
    by_name = {one["name"]: one for one in told["processes"]}
    assert set(by_name) == {"postgres", "nats", "prepare", "idler", "supervisor", "guardian", "zygote"}
    assert by_name["idler"]["pid"] == running.pid("idler")
    assert all(one["memory_bytes"] > 0 for one in told["processes"] if one["pid"])
    shown = running.run("status").stdout
    assert "idler" in shown
    assert "MiB" in shown


def test_logs_are_shown_for_people_and_for_programs(running: Installation) -> None:
    assert "runs: 1" in running.run("logs", "prepare").stdout
    assert '"message": "runs: 1"' in running.run("logs", "prepare", "--json").stdout
    unknown = running.run("logs", "nonesuch")
    assert unknown.returncode == 2
    assert "idler" in unknown.stderr


def test_secrets_are_for_this_user_only(running: Installation) -> None:
    secrets = running.layout.secrets
    assert secrets.stat().st_mode & 0o777 == 0o700
    assert {file.stat().st_mode & 0o077 for file in secrets.rglob("*")} == {0}
    assert running.layout.postgres_socket.stat().st_mode & 0o777 == 0o700
    assert (secrets / "operator_api_key").read_text() not in (secrets / "api_keys.json").read_text()


@pytest.mark.parametrize("victim", ["supervisor", "guardian"])
def test_nothing_outlives_a_killed_supervisor(installation: Installation, victim: str) -> None:
    """And the next start works, on the same data."""
    installation.up()
    state = read_state(installation.layout)
    assert state is not None
    identity = state.supervisor if victim == "supervisor" else state.guardian
    assert identity is not None
    os.kill(identity.pid, signal.SIGKILL)
    # A process that asked for nothing can only be ended by the guardian, or else by the next start.
    careless = "/bin/sleep" if victim == "guardian" else None
    assert eventually(
        lambda: [line for line in installation.living() if careless is None or careless not in line] == []
    )
    assert installation.up().returncode == 0
    assert len([line for line in installation.living() if "/bin/sleep" in line]) == 1


def test_ctrl_c_in_the_foreground_stops_everything(installation: Installation) -> None:
    with installation.up_in_foreground() as up:
        assert eventually(installation.ready)
        up.send_signal(signal.SIGINT)
        told, _ = up.communicate(timeout=60)
    assert up.returncode == 0
    assert told.splitlines()[-1] == "Reelmesh has stopped."
    assert installation.living() == []


def test_killing_the_foreground_command_stops_everything(installation: Installation) -> None:
    with installation.up_in_foreground() as up:
        assert eventually(installation.ready)
        up.kill()
    assert eventually(lambda: not installation.living())


def test_a_process_that_cannot_start_stops_the_start_and_says_why(installation: Installation) -> None:
    failed = installation.up(processes="tests.cli.small_mesh:DOOMED")
    assert failed.returncode == 1
    assert "doomed does not start (exit status 1)" in failed.stderr
    assert "the sky is falling" in failed.stderr
    assert installation.living() == []


def test_a_path_too_long_for_sockets_works_all_the_same(tmp_path: Path) -> None:
    one = Installation(tmp_path / ("long" * 30) / "data", free_port())
    try:
        started = one.up()
        assert started.returncode == 0, started.stdout + started.stderr
        assert one.layout.sockets.parent == Path("/tmp")
    finally:
        one.run("down")
        shutil.rmtree(one.layout.sockets, ignore_errors=True)


@pytest.mark.skipif(
    os.geteuid() != 0, reason="only root can become another user; as an ordinary user every test here shows it"
)
def test_an_ordinary_user_can_run_it(tmp_path: Path) -> None:
    data = Path("/tmp") / f"reelmesh-nobody-{os.getpid()}"
    data.mkdir()
    shutil.chown(data, "nobody")
    # The interpreter may lie below /root, which is root's own: the capability lets it be read, and nothing else.
    lifted = ("--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search")
    as_nobody = ("setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups", *lifted, "--")
    one = Installation(data, free_port(), as_nobody)
    try:
        started = one.up()
        assert started.returncode == 0, started.stdout + started.stderr
        assert one.layout.postgres.stat().st_uid == data.stat().st_uid
    finally:
        one.run("down")
        with contextlib.suppress(FileNotFoundError):
            shutil.rmtree(data)


def test_a_command_without_a_mesh_says_how_to_start_one(tmp_path: Path) -> None:
    one = Installation(tmp_path / "data", free_port())
    for words in (("play", "ast_x"), ("status",)):
        ran = one.run(*words)
        assert ran.returncode in (1, 4)
        assert "reelmesh up" in ran.stderr
        assert "Traceback" not in ran.stderr
