"""Puts the records of performers together."""

from __future__ import annotations

from typing import Final

import grpc
from google.protobuf.descriptor import ServiceDescriptor
from nats.aio.client import Client as NatsClient
from pydantic import Field
from reelmesh.compliance.v1 import (
    performers_service_pb2,
    performers_service_pb2_grpc,
    productions_service_pb2,
    productions_service_pb2_grpc,
    records_service_pb2,
    records_service_pb2_grpc,
)

from services.compliance.performers.consents import Consents
from services.compliance.performers.consumers import consumer
from services.compliance.performers.copies import Copies
from services.compliance.performers.domain import KEPT_FOR_YEARS
from services.compliance.performers.expiry import Expiry
from services.compliance.performers.inspection.rpc import RecordsRpc
from services.compliance.performers.office import Office
from services.compliance.performers.persons import Persons
from services.compliance.performers.productions.releases import Releases
from services.compliance.performers.productions.rpc import ProductionsRpc
from services.compliance.performers.rpc import PerformersRpc
from services.kit.database import Database
from services.kit.process import Process
from services.kit.sealing import Seal
from services.kit.settings import ProcessSettings

CONTRACTS: Final[list[ServiceDescriptor]] = [
    performers_service_pb2.DESCRIPTOR.services_by_name["PerformersService"],
    productions_service_pb2.DESCRIPTOR.services_by_name["ProductionsService"],
    records_service_pb2.DESCRIPTOR.services_by_name["RecordsService"],
]


class PerformersSettings(ProcessSettings):
    """Settings of the records of performers."""

    compliance_records_seconds: float = Field(
        default=10,
        gt=0,
        description="Seconds between two looks for records that expire, and for copies that nobody needs any more.",
    )
    compliance_records_years: int = Field(
        default=KEPT_FOR_YEARS,
        ge=5,
        le=100,
        description="Years that records are kept from the last that happened to them; 28 CFR 75.4 asks for seven. Ask counsel before you set fewer.",
    )


class PerformersParts:
    """What serves the records of performers."""

    def __init__(self, office: Office) -> None:
        self._performers = PerformersRpc(office)
        self._productions = ProductionsRpc(office, Releases(office))
        self._records = RecordsRpc(office)

    def add_to(self, server: grpc.aio.Server) -> None:
        """Has a server serve them."""
        performers_service_pb2_grpc.add_PerformersServiceServicer_to_server(self._performers, server)
        productions_service_pb2_grpc.add_ProductionsServiceServicer_to_server(self._productions, server)
        records_service_pb2_grpc.add_RecordsServiceServicer_to_server(self._records, server)


async def start_performers(
    process: Process, settings: PerformersSettings, database: Database, bus: NatsClient, install: Seal
) -> PerformersParts:
    """Starts what keeps the records, and returns what shows them."""
    persons = Persons(install)
    copies = Copies(database, process.store(), install)
    office = Office(database, process.clock, install, settings.public_url, persons, copies, Consents(persons))
    process.all_in_background(
        {
            "records' assets": consumer(database, bus, office.consents, process.clock).run(),
            "records' ends": Expiry(office, settings.compliance_records_years).run(settings.compliance_records_seconds),
        }
    )
    return PerformersParts(office)
