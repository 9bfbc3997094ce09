"""`reelmesh status` and `reelmesh key`."""

from __future__ import annotations

import asyncio
import re
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass

import typer
from rich.markup import escape
from rich.table import Table

from tools.reelmesh_cli.connection import DataOption, layout_of, operator_key
from tools.reelmesh_cli.output import EXIT_FAILED, JsonOption, Output
from tools.reelmesh_cli.supervisor import linux
from tools.reelmesh_cli.supervisor.layout import Layout
from tools.reelmesh_cli.supervisor.state import Identity, MeshRecord, running_state

_GATE_SECONDS = 8.0
_ANCHORING = re.compile(
    r'^reelmesh_audit_(?P<what>unanchored_leaves|unanchored_seconds|anchor_trouble)\{anchor="(?P<anchor>[^"]+)"\} (?P<value>\S+)$',
    re.MULTILINE,
)
_COLOURS = {"ready": "green", "done": "green", "failed": "red", "stopped": "dim"}


@dataclass(frozen=True, slots=True)
class Line:
    """One process as shown. `memory` is PSS in bytes, children included; None when unknown."""

    name: str
    state: str
    pid: int | None
    since: float
    memory: int | None
    restarts: int
    last_exit: str


@dataclass(frozen=True, slots=True)
class Anchoring:
    """How far behind a way of anchoring the audit log is, in leaves and in seconds."""

    anchor: str
    leaves: int
    seconds: int
    in_trouble: bool

    def line(self) -> str:
        """For people."""
        behind = f"{self.leaves} leaves wait, for up to {_span(self.seconds)}" if self.leaves else "nothing waits"
        trouble = "  [red]in trouble[/]: `reelmesh audit anchors` says why" if self.in_trouble else ""
        return f"audit log on {self.anchor}: {behind}{trouble}"


def anchoring(layout: Layout) -> Iterator[Anchoring]:
    """The ways of anchoring that are set, as the compliance service measures them; none while it does not run."""
    told = bytearray()
    try:
        with socket.socket(socket.AF_UNIX) as metrics:
            metrics.settimeout(2)
            metrics.connect(str(layout.sockets / "compliance.metrics.sock"))
            metrics.sendall(b"GET /metrics HTTP/1.1\r\n\r\n")
            while part := metrics.recv(65536):
                told += part
    except OSError:
        return
    found = dict[str, dict[str, float]]()
    for one in _ANCHORING.finditer(told.decode(errors="replace")):
        found.setdefault(one["anchor"], {})[one["what"]] = float(one["value"])
    for anchor, values in sorted(found.items()):
        leaves, seconds = values.get("unanchored_leaves", 0), values.get("unanchored_seconds", 0)
        yield Anchoring(anchor, int(leaves), int(seconds), bool(values.get("anchor_trouble", 0)))


def status(data: DataOption = None, as_json: JsonOption = False) -> None:
    """Shows what runs, since when, and how much memory it takes."""
    output = Output(as_json)
    layout = layout_of(data)
    state = running_state(layout)
    if state is None:
        output.result(state="stopped", data_dir=str(layout.data))
        if as_json:
            raise typer.Exit(EXIT_FAILED)
        output.fail(f"Reelmesh does not run from {layout.data}. Start it with `reelmesh up`.", EXIT_FAILED)
    lines = _lines(state)
    total = sum(line.memory or 0 for line in lines)
    gate = _gate(layout, state)
    anchored = list(anchoring(layout))
    output.result(
        state=state.state,
        url=state.url,
        data_dir=state.data_dir,
        ready_seconds=state.ready_seconds,
        uptime_seconds=round(time.time() - state.started, 1),
        memory_bytes=total,
        processes=[
            {
                "name": line.name,
                "state": line.state,
                "pid": line.pid,
                "uptime_seconds": round(time.time() - line.since, 1) if line.since else None,
                "memory_bytes": line.memory,
                "restarts": line.restarts,
                "last_exit": line.last_exit,
            }
            for line in lines
        ],
        checks=[{"name": one.name, "reachable": one.reachable, "problem": one.problem} for one in gate.checks],
        waiting_masters=gate.waiting,
        anchoring=[
            {
                "anchor": one.anchor,
                "behind_leaves": one.leaves,
                "behind_seconds": one.seconds,
                "in_trouble": one.in_trouble,
            }
            for one in anchored
        ],
    )
    if not as_json:
        output.people.print(_table(lines, total))
        for check in gate.checks:
            if not check.reachable:
                output.say(
                    f"[yellow]–[/] {check.name} cannot be reached, and masters wait for it: {escape(check.problem)}"
                )
        if gate.waiting:
            output.say(f"[yellow]–[/] {gate.waiting} masters of the operator's organisation wait to be checked.")
        output.say(f"Reelmesh is {state.state} at {state.url}  [dim]data in {state.data_dir}[/]")
        for one in anchored:
            output.say(one.line())


@dataclass(frozen=True, slots=True)
class CheckShown:
    """One check of masters as shown."""

    name: str
    reachable: bool
    problem: str


@dataclass(frozen=True, slots=True)
class Gate:
    """The checks that masters have to pass, and how many wait for them; nothing where nobody could be asked."""

    checks: tuple[CheckShown, ...] = ()
    waiting: int = 0


def _gate(layout: Layout, state: MeshRecord) -> Gate:
    """Asks the mesh, unless it does not answer."""
    key = operator_key(layout)
    if key is None or state.state != "ready":
        return Gate()
    from tools.reelmesh_sdk import Client, Refusal, Unreachable

    async def asked() -> Gate:
        from reelmesh.protection.v1.holds_service_pb2 import GetGateRequest

        async with asyncio.timeout(_GATE_SECONDS), Client(state.url, key) as reelmesh:
            answer = await reelmesh.call(reelmesh.holds.GetGate, GetGateRequest())
        checks = tuple(CheckShown(one.name, one.reachable, one.problem) for one in answer.checks)
        return Gate(checks, answer.waiting_count)

    try:
        return asyncio.run(asked())
    except (Refusal, Unreachable, TimeoutError):  # a mesh in trouble still has a status
        return Gate()


def _lines(state: MeshRecord) -> list[Line]:
    lines = [
        Line(
            one.name,
            one.state,
            one.identity.pid if one.identity is not None else None,
            one.since,
            memory_of_tree(one.identity.pid) if one.identity is not None else None,
            one.restarts,
            one.last_exit,
        )
        for one in state.processes
    ]
    own: list[tuple[str, Identity | None]] = [
        ("supervisor", state.supervisor),
        ("guardian", state.guardian),
        ("zygote", state.zygote),
    ]
    for name, identity in own:
        if identity is not None and identity.alive():
            memory = linux.proportional_memory(identity.pid)
            lines.append(Line(name, "ready", identity.pid, state.started, memory, 0, ""))
    return lines


def memory_of_tree(pid: int) -> int | None:
    """PSS in bytes of a process and all its descendants; None if it is gone or may not be read."""
    own = linux.proportional_memory(pid)
    if own is None:
        return None
    return own + sum(memory_of_tree(child) or 0 for child in linux.children_of(pid))


def _table(lines: list[Line], total: int) -> Table:
    table = Table(box=None, header_style="dim", padding=(0, 2, 0, 0))
    for heading in ("process", "state", "pid", "up", "memory", "restarts"):
        table.add_column(heading, justify="right" if heading in ("pid", "up", "memory", "restarts") else "left")
    for line in lines:
        table.add_row(
            line.name,
            f"[{_COLOURS.get(line.state, 'yellow')}]{line.state}[/]",
            str(line.pid or ""),
            _span(time.time() - line.since) if line.since and line.pid else "",
            _mebibytes(line.memory),
            f"{line.restarts} [dim]({line.last_exit})[/]" if line.restarts else "",
        )
    table.add_row("", "", "", "", f"[bold]{_mebibytes(total)}[/]", "")
    return table


def _mebibytes(count: int | None) -> str:
    return "" if count is None else f"{count / 2**20:.0f} MiB"


def _span(seconds: float) -> str:
    whole = int(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def key(data: DataOption = None, as_json: JsonOption = False) -> None:
    """Prints the operator's API key."""
    output = Output(as_json)
    layout = layout_of(data)
    found = operator_key(layout)
    if found is None:
        output.fail(f"There is no key in {layout.secrets} yet: the first `reelmesh up` makes it.")
    output.result(api_key=found)
    if not as_json:
        print(found)
