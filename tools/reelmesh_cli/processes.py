"""What runs: every process of the mesh on one machine, in one list.

A new service is one more line here. `needs` names what must be ready before it starts; it is not waited
for again when something is restarted later, because every process reconnects by itself.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Literal

Kind = Literal["postgres", "nats", "envoy", "python", "job"]
Health = Literal["grpc", "tls", "socket", "metrics"]

COMMAND_NAME = "reelmesh-"
"""Prefix of the names that `ps` shows."""


@dataclass(frozen=True, slots=True)
class ProcessSpec:
    """One process.

    Attributes:
        name: what people call it: in `reelmesh status`, in `reelmesh logs`, and its log and socket file.
        kind: `python` and `job` are forked from the zygote; a job runs once, to its end, at each start.
        module: for `python` and `job`: what `python -m` would run; it has a `main()`.
        needs: names of the processes that must be ready first.
        health: how readiness is seen. `grpc`: grpc.health.v1 on its unix socket answers SERVING.
            `tls`: on its unix socket somebody shows the certificate of that service, which is for servers that are not gRPC's.
            `socket`: its unix socket accepts a connection. `metrics`: its metrics do, which is all that a worker serves.
        stop_seconds: how long it may drain after SIGTERM before SIGKILL.
    """

    name: str
    kind: Kind
    module: str = ""
    needs: tuple[str, ...] = ()
    health: Health = "grpc"
    stop_seconds: float = 8.0


_STORES = ("migrate", "nats")

PROCESSES: tuple[ProcessSpec, ...] = (
    ProcessSpec("postgres", "postgres"),
    ProcessSpec("nats", "nats"),
    ProcessSpec("migrate", "job", "services.kit.migrate", needs=("postgres",)),
    ProcessSpec("identity", "python", "services.identity", needs=_STORES),
    ProcessSpec("notifications", "python", "services.notifications", needs=_STORES),
    ProcessSpec("upload", "python", "services.upload", needs=_STORES),
    ProcessSpec("assets", "python", "services.assets", needs=_STORES),
    ProcessSpec("transcode", "python", "services.transcode", needs=_STORES),
    ProcessSpec("packaging", "python", "services.packaging", needs=_STORES),
    ProcessSpec("drm", "python", "services.drm", needs=_STORES),
    ProcessSpec("payments", "python", "services.payments", needs=_STORES),
    ProcessSpec("policy", "python", "services.policy", needs=_STORES),
    ProcessSpec("compliance", "python", "services.compliance", needs=_STORES),
    ProcessSpec("protection", "python", "services.protection", needs=_STORES),
    ProcessSpec("limits", "python", "services.limits", needs=("migrate",)),
    ProcessSpec("transcode-worker", "python", "services.transcode.worker", needs=_STORES, health="metrics"),
    ProcessSpec("packaging-worker", "python", "services.packaging.worker", needs=_STORES, health="metrics"),
    ProcessSpec("oauth", "python", "gateway.oauth", needs=_STORES, health="tls"),
    ProcessSpec("speke", "python", "gateway.speke", needs=_STORES, health="tls"),
    ProcessSpec("webhooks", "python", "gateway.webhooks", needs=_STORES, health="tls"),
    ProcessSpec("envoy", "envoy"),
)
"""The mesh. Stopping goes through this list backwards: the edge first, the stores last."""

STAND_IN = ProcessSpec("stand-in", "python", "tools.stand_in_processor", needs=("postgres",), health="metrics")
"""The payment processor that moves no money. It runs beside the mesh where `REELMESH_PAYMENTS_STAND_IN_URL` says where."""

STAND_IN_AGE = ProcessSpec(
    "stand-in-age", "python", "tools.stand_in_age_provider", needs=("postgres",), health="metrics"
)
"""The provider of proofs of age that believes anybody. It runs beside the mesh where `REELMESH_COMPLIANCE_AGE_STAND_IN_URL` says where."""


def besides() -> tuple[ProcessSpec, ...]:
    """What runs too, because the operator said so."""
    wanted = {
        STAND_IN: "REELMESH_PAYMENTS_STAND_IN_URL",
        STAND_IN_AGE: "REELMESH_COMPLIANCE_AGE_STAND_IN_URL",
    }
    return tuple(spec for spec, variable in wanted.items() if os.environ.get(variable))


PRELOADED_MODULES: tuple[str, ...] = (
    "asyncpg",
    "grpc.aio",
    "nats",
    "jwt",
    "cryptography.x509",
    "structlog",
    "prometheus_client",
    "pydantic_settings",
    "sqlalchemy",
    "sqlalchemy.ext.asyncio",
    "sqlalchemy.dialects.postgresql.asyncpg",
    "protovalidate",
    "services.kit.process",
    "services.kit.database",
    "services.kit.events",
    "services.kit.idempotency",
    "services.kit.pagination",
    "services.kit.storage",
    "services.kit.validation",
    "services.kit.work",
    "google.api.httpbody_pb2",
    "google.protobuf.field_mask_pb2",
)
"""What the zygote imports before it forks: the kit, and with it every library that the services share.

The large libraries are named on their own and first: between two names the zygote starts a program that is
waited for, such as Postgres. Importing must start no thread and open no connection. A name that is missing is
skipped: the process that needs it will say so better.
"""
