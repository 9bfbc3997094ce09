"""The limits service's process."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import grpc
from envoy.service.ratelimit.v3 import rls_pb2_grpc
from google.protobuf.descriptor import ServiceDescriptor
from pydantic import Field

from services.kit.access import API_KEYS_FILE, ApiKeys
from services.kit.process import TRUST_CONTRACT, Process, run
from services.kit.settings import ProcessSettings
from services.kit.trust import RemoteTrust
from services.limits.callers import CheckedCallers
from services.limits.ledger import Ledger
from services.limits.rpc import RULES, RateLimitServicer
from services.limits.rules import RulesFile
from services.limits.store import PostgresBuckets
from services.limits.upkeep import Upkeep


class LimitsSettings(ProcessSettings):
    """What can be set about limits, beside the limits themselves."""

    limits_file: Path | None = Field(
        default=None,
        description="Changes of `services/limits/limits.yaml`, read again when the file changes. None: `<data_dir>/limits.yaml`.",
    )
    limits_store_patience_seconds: float = Field(
        default=0.1,
        gt=0,
        description="Seconds that the database may take to count; then this replica counts by itself for a second. Envoy waits twice as long.",
    )
    limits_upkeep_seconds: float = Field(default=60, gt=0, description="Seconds between two removals of full buckets.")


CONTRACTS: Final[list[ServiceDescriptor]] = []
"""None of our own: Envoy's is served."""


async def wire(process: Process, settings: LimitsSettings) -> None:
    """Puts the service together and starts it. It serves without its database, and then counts by itself."""
    clock = process.clock
    buckets = PostgresBuckets(process.name, settings, settings.limits_store_patience_seconds)
    # A connection of its own, and no hurry: no call waits for it.
    upkeep_buckets = PostgresBuckets(process.name, settings, patience=30)
    process.at_end(buckets.close)
    process.at_end(upkeep_buckets.close)
    ledger = Ledger(buckets, clock)
    process.at_end(ledger.close)
    rules = RulesFile(settings.limits_file or settings.data_dir / "limits.yaml")
    trust = RemoteTrust(process.peer("identity", TRUST_CONTRACT), clock)
    process.at_end(trust.close)
    callers = CheckedCallers(ApiKeys(settings.secrets_dir / API_KEYS_FILE), trust)
    servicer = RateLimitServicer(rules, ledger, callers, clock)

    def add(server: grpc.aio.Server) -> None:
        rls_pb2_grpc.add_RateLimitServiceServicer_to_server(servicer, server)

    process.in_background(Upkeep(upkeep_buckets, clock).run(settings.limits_upkeep_seconds), "upkeep")
    await process.serve([], add, RULES, trust)


def main() -> None:
    """Runs until told to stop."""
    run("limits", LimitsSettings, wire)


if __name__ == "__main__":
    main()
