"""`reelmesh up` and `reelmesh down`."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Annotated, Any

import psutil
import typer

from tools.reelmesh_cli.connection import DataOption, layout_of
from tools.reelmesh_cli.output import EXIT_FAILED, JsonOption, Output
from tools.reelmesh_cli.start_view import StartView
from tools.reelmesh_cli.supervisor.layout import REPOSITORY, Layout
from tools.reelmesh_cli.supervisor.state import MeshRecord, running_state

DEFAULT_PORT = 8080
STOP_SECONDS = 40.0
"""How long `down` waits; the supervisor's own limits are shorter."""

PortOption = Annotated[int, typer.Option("--port", envvar="REELMESH_PORT", min=1, max=65535, help="Port on 127.0.0.1.")]
ProcessesOption = Annotated[str, typer.Option("--processes", hidden=True)]


def up(
    detach: Annotated[bool, typer.Option("--detach", "-d", help="Return once it is ready.")] = False,
    data: DataOption = None,
    port: PortOption = DEFAULT_PORT,
    as_json: JsonOption = False,
    processes: ProcessesOption = "",
) -> None:
    """Starts everything and, unless --detach, stays until Ctrl-C."""
    output = Output(as_json)
    layout = layout_of(data)
    _refuse_second(layout, output)
    _refuse_taken_port(port, output)
    supervisor = _start_supervisor(layout, port, processes, detach)
    view = StartView(output)
    try:
        with view:
            for event in _events(supervisor):
                view.show(event)
                if event["event"] == "ready":
                    _announce(layout, output, event["url"])
                    if detach:
                        return
    except KeyboardInterrupt:
        _stop_in_foreground(supervisor, view, output)
    status = supervisor.wait()
    if view.failure:
        output.fail(view.failure)
    if status not in (0, 128 + signal.SIGTERM):
        output.fail(f"The supervisor ended unexpectedly (status {status}): see {layout.log_of('supervisor')}")
    output.result(state="stopped")
    output.say("Reelmesh has stopped.")


def _refuse_second(layout: Layout, output: Output) -> None:
    running = running_state(layout)
    if running is not None and running.supervisor is not None:
        output.fail(
            f"Reelmesh already runs from {layout.data}, at {running.url} (process {running.supervisor.pid}). "
            "Stop it with `reelmesh down`, or start another one with `--data DIR --port N`."
        )


def _refuse_taken_port(port: int, output: Output) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            if isinstance(error, PermissionError):
                output.fail(
                    f"Port {port} needs root: choose one above 1023, such as `reelmesh up --port {DEFAULT_PORT}`."
                )
            output.fail(
                f"Port {port} is in use{_owner_of(port)}. "
                f"Stop that program, or start Reelmesh elsewhere: `reelmesh up --port {_free_port()}`."
            )


def _owner_of(port: int) -> str:
    with contextlib.suppress(psutil.Error, OSError):
        for connection in psutil.net_connections("tcp"):
            if connection.status == psutil.CONN_LISTEN and tuple(connection.laddr)[1:] == (port,) and connection.pid:
                return f" by {psutil.Process(connection.pid).name()} (process {connection.pid})"
    return ""


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _start_supervisor(layout: Layout, port: int, processes: str, detach: bool) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tools.reelmesh_cli.supervisor", "--data", str(layout.data), "--port", str(port)]
    if processes:
        command += ["--processes", processes]
    if not detach:
        command += ["--owner", str(os.getpid())]
    layout.logs.mkdir(parents=True, exist_ok=True)
    search = [str(REPOSITORY), str(REPOSITORY / "gen" / "python"), os.environ.get("PYTHONPATH", "")]
    with layout.log_of("supervisor").open("a") as log:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(part for part in search if part)},
            start_new_session=True,  # Ctrl-C is for us; we pass it on as a wish to stop
        )


def _events(supervisor: subprocess.Popen[str]) -> Iterator[dict[str, Any]]:
    assert supervisor.stdout is not None  # asked for above
    for line in supervisor.stdout:
        with contextlib.suppress(ValueError):
            yield json.loads(line)


def _announce(layout: Layout, output: Output, url: str) -> None:
    output.say(f"Reelmesh is ready at {url}")
    state = running_state(layout)
    output.result(
        state="ready",
        url=url,
        data_dir=str(layout.data),
        ready_seconds=state.ready_seconds if state is not None else None,
        pid=state.guardian.pid if state is not None and state.guardian is not None else None,
    )


def _stop_in_foreground(supervisor: subprocess.Popen[str], view: StartView, output: Output) -> None:
    output.say("Stopping; Ctrl-C again stops at once.")
    try:
        supervisor.terminate()
        for event in _events(supervisor):
            view.show(event)
        supervisor.wait(STOP_SECONDS)
    except (KeyboardInterrupt, subprocess.TimeoutExpired):
        supervisor.kill()
        output.say("Killed.")


def down(data: DataOption = None, as_json: JsonOption = False) -> None:
    """Stops everything that `up` started from this data directory."""
    output = Output(as_json)
    layout = layout_of(data)
    state = running_state(layout)
    if state is None:
        output.say(f"Reelmesh does not run from {layout.data}.")
        output.result(state="stopped", was_running=False)
        return
    if not _stopped(state, signal.SIGTERM, STOP_SECONDS) and not _stopped(state, signal.SIGKILL, 5.0):
        output.fail(f"Process {_guardian(state)} does not end.", EXIT_FAILED)
    output.say("Reelmesh has stopped.")
    output.result(state="stopped", was_running=True)


def _guardian(state: MeshRecord) -> int:
    one = state.guardian or state.supervisor
    assert one is not None  # a running state has a supervisor
    return one.pid


def _stopped(state: MeshRecord, number: int, seconds: float) -> bool:
    with contextlib.suppress(ProcessLookupError):
        try:
            os.kill(_guardian(state), number)
        except PermissionError:
            return False
    give_up = time.monotonic() + seconds
    while any(one.alive() for one in (state.guardian, state.supervisor) if one is not None):
        if time.monotonic() > give_up:
            return False
        time.sleep(0.05)
    return True
