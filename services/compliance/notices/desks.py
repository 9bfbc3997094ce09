"""How organisations handle notices: where reminders go, and which days are business days."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Final, Self

import sqlalchemy as sa
from email_validator import EmailNotValidError, validate_email
from reelmesh.compliance.v1 import notices_pb2
from sqlalchemy.dialects.postgresql import ARRAY, insert

from services.compliance import refusals
from services.compliance.notices.calendar import Calendar
from services.compliance.notices.rules import Rules
from services.kit.database import Tx
from services.kit.sealing import Seal

desks: Final = sa.Table(
    "notice_desks",
    sa.MetaData(),
    sa.Column("organisation_id", sa.Text, primary_key=True),
    sa.Column("sealed_email", sa.LargeBinary),
    sa.Column("time_zone", sa.Text),
    sa.Column("holidays", ARRAY(sa.Date, as_tuple=True)),
    sa.Column("weekend", ARRAY(sa.SmallInteger, as_tuple=True)),
)
_MOST_DAYS_OFF: Final = 400


@dataclass(frozen=True, slots=True)
class Desk:
    """A desk; what is empty is as the rules have it."""

    contact_email: str = ""
    time_zone: str = ""
    holidays: tuple[date, ...] = ()
    weekend: tuple[int, ...] = ()

    @classmethod
    def of(cls, message: notices_pb2.NoticeDesk, rules: Rules) -> Self:
        """The desk that somebody sets.

        Raises:
            Refusal: INVALID_ARGUMENT `REQUEST_INVALID`.
        """
        if len(message.holidays) > _MOST_DAYS_OFF:
            raise refusals.notice_desk_invalid("desk.holidays", f"name at most {_MOST_DAYS_OFF} days off")
        try:
            holidays = tuple(sorted({date.fromisoformat(one) for one in message.holidays}))
        except ValueError as error:
            raise refusals.notice_desk_invalid("desk.holidays", "write days as YYYY-MM-DD") from error
        desk = cls(
            email_address("desk.contact_email", message.contact_email) if message.contact_email else "",
            message.time_zone,
            holidays,
            tuple(sorted(set(message.weekend))),
        )
        try:
            desk.calendar(rules)
        except ValueError as error:
            field = "desk.time_zone" if "zone" in str(error) else "desk.weekend"
            raise refusals.notice_desk_invalid(field, str(error)) from error
        return desk

    def calendar(self, rules: Rules) -> Calendar:
        """The calendar by which its deadlines are counted."""
        return Calendar.of(
            self.time_zone or rules.time_zone, self.weekend or rules.weekend, self.holidays or rules.holidays
        )

    def message(self, rules: Rules) -> notices_pb2.NoticeDesk:
        """The desk as it is shown, with what the rules say where nothing is set."""
        days: Sequence[date] = self.holidays or rules.holidays
        return notices_pb2.NoticeDesk(
            contact_email=self.contact_email,
            time_zone=self.time_zone or rules.time_zone,
            holidays=[day.isoformat() for day in days],
            weekend=self.weekend or rules.weekend,
        )


def email_address(field: str, text: str) -> str:
    """An address in its canonical form.

    Raises:
        Refusal: INVALID_ARGUMENT `REQUEST_INVALID`.
    """
    try:
        return validate_email(text.strip(), check_deliverability=False, test_environment=True).normalized
    except EmailNotValidError as error:
        raise refusals.notice_desk_invalid(
            field, "this is not an e-mail address; write such as name@example.com"
        ) from error


async def find(tx: Tx, seal: Seal, organisation_id: str) -> Desk:
    """The desk of an organisation."""
    row = (await tx.execute(sa.select(desks).where(desks.c.organisation_id == organisation_id))).one_or_none()
    if row is None:
        return Desk()
    email = seal.open(row.sealed_email, f"notice desk {organisation_id}").decode()
    return Desk(email, row.time_zone, row.holidays, row.weekend)


async def put(tx: Tx, seal: Seal, organisation_id: str, desk: Desk) -> None:
    """Keeps the desk of an organisation."""
    values = {
        "sealed_email": seal.seal(desk.contact_email.encode(), f"notice desk {organisation_id}"),
        "time_zone": desk.time_zone,
        "holidays": desk.holidays,
        "weekend": desk.weekend,
    }
    await tx.execute(
        insert(desks)
        .values(organisation_id=organisation_id, **values)
        .on_conflict_do_update(index_elements=["organisation_id"], set_=values)
    )
