"""Performers as they are kept: what is personal is sealed under a key of the performer's own, which the service's own key seals. Whoever destroys that key
has erased the person, whatever else is left."""

from __future__ import annotations

import json
import secrets
from collections.abc import Collection, Sequence
from datetime import date
from typing import Any, Final

import sqlalchemy as sa

from services.compliance.performers.domain import Performer, Person
from services.compliance.performers.tables import performers
from services.kit.database import Tx, one_of
from services.kit.pagination import Page
from services.kit.sealing import Seal

_OWNER: Final = "compliance performer"


class Persons:
    """Keeps performers.

    Args:
        install: the service's own seal.
    """

    def __init__(self, install: Seal) -> None:
        self._install = install

    async def add(self, tx: Tx, performer: Performer) -> None:
        """Keeps a new performer."""
        key = secrets.token_bytes(32)
        await tx.execute(
            sa.insert(performers).values(
                performer_id=performer.performer_id,
                organisation_id=performer.organisation_id,
                sealed_key=self._install.seal(key, performer.performer_id),
                sealed=_sealed(key, performer),
                create_time=performer.create_time,
            )
        )

    async def put(self, tx: Tx, performer: Performer) -> None:
        """Keeps what is personal of a performer anew."""
        mine = performers.c.performer_id == performer.performer_id
        sealed_key = (await tx.execute(sa.select(performers.c.sealed_key).where(mine))).scalar_one()
        key = self._install.open(sealed_key, performer.performer_id)
        await tx.execute(sa.update(performers).where(mine).values(sealed=_sealed(key, performer)))

    async def find(self, tx: Tx, organisation_id: str, performer_id: str) -> Performer | None:
        """One performer of an organisation; None when there is none."""
        return (await self.of(tx, organisation_id, [performer_id])).get(performer_id)

    async def of(self, tx: Tx, organisation_id: str, performer_ids: Collection[str]) -> dict[str, Performer]:
        """Those of some performers that are the organisation's."""
        query = sa.select(performers).where(
            performers.c.organisation_id == organisation_id, performers.c.performer_id == one_of(performer_ids)
        )
        return {row.performer_id: self._opened(row) for row in await tx.execute(query)}

    async def page(self, tx: Tx, organisation_id: str, part: Page) -> Sequence[Performer]:
        """One page of an organisation's performers, newest first, and one more to tell whether there is another page."""
        query = sa.select(performers).where(performers.c.organisation_id == organisation_id)
        if part.after:
            query = query.where(performers.c.performer_id < part.after)
        rows = await tx.execute(query.order_by(performers.c.performer_id.desc()).limit(part.size + 1))
        return [self._opened(row) for row in rows]

    async def all(self, tx: Tx, organisation_id: str) -> Sequence[Performer]:
        """All performers of an organisation."""
        query = sa.select(performers).where(performers.c.organisation_id == organisation_id)
        return [self._opened(row) for row in await tx.execute(query.order_by(performers.c.performer_id))]

    def _opened(self, row: sa.Row[Any]) -> Performer:
        key = self._install.open(row.sealed_key, row.performer_id)
        said = json.loads(Seal(key, _OWNER).open(row.sealed, row.performer_id))
        person = Person(said["legal_name"], date.fromisoformat(said["date_of_birth"]), tuple(said["other_names"]))
        return Performer(row.performer_id, row.organisation_id, person, row.create_time)


def _sealed(key: bytes, performer: Performer) -> bytes:
    person = performer.person
    said = {
        "legal_name": person.legal_name,
        "date_of_birth": person.date_of_birth.isoformat(),
        "other_names": person.other_names,
    }
    return Seal(key, _OWNER).seal(json.dumps(said).encode(), performer.performer_id)
