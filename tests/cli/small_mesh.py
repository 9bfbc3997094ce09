"""A small mesh for the supervisor's tests: the two real stores, and processes that do nothing but misbehave on request."""

from __future__ import annotations

from tools.reelmesh_cli.processes import ProcessSpec

PRELOADED_MODULES = ("asyncpg",)

PROCESSES = (
    ProcessSpec("postgres", "postgres"),
    ProcessSpec("nats", "nats"),
    ProcessSpec("prepare", "job", "tests.cli.dummies.prepare", needs=("postgres",)),
    ProcessSpec(
        "idler", "python", "tests.cli.dummies.idler", needs=("prepare", "nats"), health="socket", stop_seconds=3
    ),
)

DOOMED = (ProcessSpec("doomed", "python", "tests.cli.dummies.doomed", health="socket"),)
