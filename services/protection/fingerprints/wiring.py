"""Puts fingerprints together within the protection service."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from nats.aio.client import Client as NatsClient
from pydantic import Field
from reelmesh.protection.v1 import fingerprints_service_pb2

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


class FingerprintSettings(ProcessSettings):
    """Settings of fingerprints."""

    protection_matches_kept_days: int = Field(default=730, ge=1, description="Days for which matches are kept.")
    protection_index_seconds: float = Field(
        default=60, gt=0, description="Seconds between two looks for titles that other processes made fingerprints of."
    )


class Fingerprints:
    """What the rest of the service takes from here.

    Attributes:
        keeping: the indexes.
        servicer: of `CONTRACT`.
        check: for the gate.
    """

    def __init__(self, process: Process, settings: FingerprintSettings, database: Database) -> None:
        self._process = process
        self._settings = settings
        self._database = database
        self._objects = process.store()
        self.keeping = Keeping(database, self._objects, settings.data_dir)
        self.servicer = FingerprintsRpc(database, process.clock, self.keeping)
        self.check = Barring(database, self._objects, self.keeping)

    async def start(self, bus: NatsClient, upkeep_seconds: float) -> None:
        """Starts what goes on in the background."""
        process, database = self._process, self._database
        for queue in (TITLES, MATCHES):
            await queue.ensure(bus.jetstream())
        working = Working(database, self._objects, process.clock, self.keeping)
        kept = timedelta(days=self._settings.protection_matches_kept_days)
        upkeep = Upkeep(database, self._objects, process.clock, kept)
        listener = Listener(process.clock, self.keeping)
        process.all_in_background(
            {
                "fingerprint consumer": listener.consumer(database, bus).run(),
                "fingerprint worker": TITLES.run(bus, working.fingerprint),
                "match worker": MATCHES.run(bus, working.match),
                "index": self.keeping.run(self._settings.protection_index_seconds),
                "fingerprint upkeep": upkeep.run(upkeep_seconds),
            }
        )
