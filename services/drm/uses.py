"""Who used which key when. Ids, names and times; never a key."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from enum import IntEnum
from typing import Final

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY

from services.kit.database import Tx
from services.kit.ids import new_id
from services.kit.pagination import Page


class Action(IntEnum):
    """What was done; the numbers are those of the contract."""

    PACKAGED = 1
    LICENSED = 2
    REWRAPPED = 3
    DESTROYED = 4
    KEK_CREATED = 5
    KEK_DESTROYED = 6
    KEK_ESCROWED = 7
    KEK_RESTORED = 8
    KEK_REWRAPPED = 9


@dataclass(frozen=True, slots=True)
class Use:
    """One use of keys.

    Attributes:
        action: an `Action`.
        actor: the name of a principal, or a playback session.
        key_ids: 32 hex digits each; empty where it is about all that a key-encryption key seals.
        detail: what else is to be said.
    """

    use_id: str
    organisation_id: str
    action: int
    actor: str
    package_id: str
    key_ids: Sequence[str]
    kek_id: str
    detail: str
    use_time: datetime

    @classmethod
    def of(
        cls,
        organisation_id: str,
        action: Action,
        actor: str,
        now: datetime,
        *,
        package_id: str = "",
        key_ids: Sequence[str] = (),
        kek_id: str = "",
        detail: str = "",
    ) -> Use:
        """A new one."""
        return cls(new_id("kus"), organisation_id, int(action), actor, package_id, list(key_ids), kek_id, detail, now)


key_uses: Final = sa.Table(
    "key_uses",
    sa.MetaData(),
    sa.Column("use_id", sa.Text, primary_key=True),
    sa.Column("organisation_id", sa.Text),
    sa.Column("action", sa.SmallInteger),
    sa.Column("actor", sa.Text),
    sa.Column("package_id", sa.Text),
    sa.Column("key_ids", ARRAY(sa.Text)),
    sa.Column("kek_id", sa.Text),
    sa.Column("detail", sa.Text),
    sa.Column("use_time", sa.DateTime(timezone=True)),
)
_ALL: Final = [key_uses.c[field.name] for field in fields(Use)]


async def note(tx: Tx, new: Sequence[Use]) -> None:
    """Keeps uses, in the transaction in which they happen."""
    if new:
        await tx.execute(sa.insert(key_uses), [asdict(use) for use in new])


async def page(
    tx: Tx, organisation_id: str, part: Page, *, key_id: str = "", package_id: str = "", actor: str = ""
) -> Sequence[Use]:
    """One page of an organisation's uses, newest first, and one more to tell whether there is another page."""
    query = sa.select(*_ALL).where(key_uses.c.organisation_id == organisation_id)
    if key_id:
        query = query.where(key_uses.c.key_ids.contains([key_id]))
    if package_id:
        query = query.where(key_uses.c.package_id == package_id)
    if actor:
        query = query.where(key_uses.c.actor == actor)
    if part.after:
        query = query.where(key_uses.c.use_id < part.after)
    rows = await tx.execute(query.order_by(key_uses.c.use_id.desc()).limit(part.size + 1))
    return [Use(**row._asdict()) for row in rows]


async def forget(tx: Tx, before: datetime) -> None:
    """Removes uses that are older than a moment."""
    await tx.execute(sa.delete(key_uses).where(key_uses.c.use_time < before))
