"""What has to stand beside a title: that records of everybody in it are kept, by whom, and where (28 CFR 75.6)."""

from __future__ import annotations

from reelmesh.compliance.v1 import records_pb2

from services.compliance.performers.domain import Production
from services.compliance.performers.store import Settings


def statement(production: Production, settings: Settings) -> records_pb2.RecordsStatement:
    """The statement on one production."""
    custodian = ", ".join(part for part in (settings.custodian, settings.custodian_title) if part)
    address = ", ".join(settings.street_address.splitlines())
    text = (
        f"{production.title}. Date of production: {production.production_date}. Everybody who is seen in it was at least 18 years old then. "
        f"The records that 18 U.S.C. 2257 and 28 CFR part 75 ask for are kept by the custodian of records: {custodian}, {address}."
    )
    return records_pb2.RecordsStatement(
        title=production.title,
        production_date=production.production_date.isoformat(),
        custodian=settings.custodian,
        custodian_title=settings.custodian_title,
        street_address=settings.street_address,
        text=text,
    )
