"""Puts the gate together."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Final

import grpc
from google.protobuf.descriptor import ServiceDescriptor
from nats.aio.client import Client as NatsClient
from reelmesh.protection.v1 import (
    hash_lists_service_pb2,
    hash_lists_service_pb2_grpc,
    holds_service_pb2,
    holds_service_pb2_grpc,
)

from services.kit.access import API_KEYS_FILE
from services.kit.database import Database
from services.kit.process import Process
from services.protection.gate import Check
from services.protection.scanners import clamav, quarantine, reports
from services.protection.scanners.clamav import Address, ClamAv
from services.protection.scanners.consumers import Arrivals
from services.protection.scanners.hash_lists.matching import HashLists
from services.protection.scanners.hash_lists.rpc import OPERATOR, HashListsRpc
from services.protection.scanners.quarantine import Quarantine
from services.protection.scanners.reports import Reports
from services.protection.scanners.rpc import HoldsRpc
from services.protection.scanners.screening import QUEUE, Gate
from services.protection.scanners.settings import HASH_LISTS, ScannerSettings
from services.protection.scanners.upkeep import GateUpkeep

CONTRACTS: Final[list[ServiceDescriptor]] = [
    holds_service_pb2.DESCRIPTOR.services_by_name["HoldsService"],
    hash_lists_service_pb2.DESCRIPTOR.services_by_name["HashListsService"],
]
_UPKEEP_SECONDS: Final = 300.0


async def start_scanners(
    process: Process, settings: ScannerSettings, database: Database, bus: NatsClient, checks: Sequence[Check] = ()
) -> Callable[[grpc.aio.Server], None]:
    """Starts the gate, and returns what adds its services to a server.

    Args:
        process: what is started belongs to it.
        settings: as the operator made them.
        database: the service's.
        bus: NATS.
        checks: further ones, made after the scanners in their order.
    """
    await QUEUE.ensure(bus.jetstream())
    objects = process.store()
    every = [*_scanners(settings, database), *checks]
    evidence = Quarantine(objects, settings.secret(quarantine.KEY_FILE))
    secret = settings.secret(reports.SECRET_FILE).decode().strip() if settings.hold_report_url else ""
    telling = Reports(database, process.clock, QUEUE, settings.hold_report_url, secret)
    gate = Gate(database, objects, process.clock, checks=every, quarantine=evidence, reports=telling)
    kept = timedelta(days=settings.quarantine_kept_days)
    upkeep = GateUpkeep(database, process.clock, gate, evidence, kept)
    process.in_background(Arrivals(gate, process.clock).consumer(database, bus).run(), "gate-consumer")
    process.in_background(QUEUE.run(bus, gate.work, parallel=settings.gate_workers), "gate-worker")
    process.in_background(upkeep.run(_UPKEEP_SECONDS), "gate-upkeep")
    holds = HoldsRpc(database, process.clock, gate, _house(settings))
    lists = HashListsRpc(database, process.clock, settings.hash_lists_limit)

    def add(server: grpc.aio.Server) -> None:
        holds_service_pb2_grpc.add_HoldsServiceServicer_to_server(holds, server)
        hash_lists_service_pb2_grpc.add_HashListsServiceServicer_to_server(lists, server)

    return add


def _scanners(settings: ScannerSettings, database: Database) -> list[Check]:
    """Those that are on. Malware first: what is malware is not decoded."""
    found: list[Check] = []
    if clamav.NAME in settings.scanners:
        found.append(ClamAv(Address.of(settings.clamav_address), settings.clamav_part_bytes))
    if HASH_LISTS in settings.scanners:
        found.append(HashLists(database))
    return found


def _house(settings: ScannerSettings) -> str:
    """The operator's organisation, which answers for the install; empty when there is none."""
    try:
        entries = json.loads((settings.secrets_dir / API_KEYS_FILE).read_bytes())
    except FileNotFoundError:
        return ""
    return next((str(entry["organisation_id"]) for entry in entries if entry["name"] == OPERATOR), "")
