"""Puts fingerprints together within the protection service."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

import grpc
from google.protobuf.descriptor import ServiceDescriptor
from nats.aio.client import Client as NatsClient
from pydantic import Field
from reelmesh.protection.v1 import fingerprints_service_pb2, fingerprints_service_pb2_grpc

from services.kit.database import Database
from services.kit.process import Process
from services.kit.settings import ProcessSettings
from services.protection.fingerprints.barring import Barring
from services.protection.fingerprints.consumers import Listener
from services.protection.fingerprints.keeping import Keeping
from services.protection.fingerprints.rpc import FingerprintsRpc
from services.protection.fingerprints.upkeep import Upkeep
from services.protection.fingerprints.working import MATCHES, TITLES, Working

CONTRACT: Final = fingerprints_service_pb2.DESCRIPTOR.services_by_name["FingerprintsService"]
CONTRACTS: Final[list[ServiceDescriptor]] = [CONTRACT]
_UPKEEP_SECONDS: Final = 600.0


class FingerprintSettings(ProcessSettings):
    """Settings of fingerprints."""

    protection_matches_kept_days: int = Field(default=730, ge=1, description="Days for which matches are kept.")
    protection_index_seconds: float = Field(
        default=60, gt=0, description="Seconds between two looks for titles that other processes made fingerprints of."
    )


@dataclass(frozen=True, slots=True)
class Fingerprints:
    """What the rest of the service takes from here.

    Attributes:
        keeping: the indexes.
        check: for the gate.
        add: adds the service to a server.
    """

    keeping: Keeping
    check: Barring
    add: Callable[[grpc.aio.Server], None]


async def start_fingerprints(
    process: Process, settings: FingerprintSettings, database: Database, bus: NatsClient
) -> Fingerprints:
    """Starts what makes and matches fingerprints."""
    for queue in (TITLES, MATCHES):
        await queue.ensure(bus.jetstream())
    objects, clock = process.store(), process.clock
    keeping = Keeping(database, objects, settings.data_dir)
    working = Working(database, objects, clock, keeping)
    upkeep = Upkeep(database, objects, clock, timedelta(days=settings.protection_matches_kept_days))
    process.all_in_background(
        {
            "fingerprint-consumer": Listener(clock, keeping).consumer(database, bus).run(),
            "fingerprint-worker": TITLES.run(bus, working.fingerprint),
            "match-worker": MATCHES.run(bus, working.match),
            "fingerprint-index": keeping.run(settings.protection_index_seconds),
            "fingerprint-upkeep": upkeep.run(_UPKEEP_SECONDS),
        }
    )
    servicer = FingerprintsRpc(database, clock, keeping)

    def add(server: grpc.aio.Server) -> None:
        fingerprints_service_pb2_grpc.add_FingerprintsServiceServicer_to_server(servicer, server)

    return Fingerprints(keeping, Barring(database, objects, keeping), add)
