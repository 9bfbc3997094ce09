"""Who used which key when. Ids, names and times; never a key. Licences are found among the records of licences."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from enum import IntEnum
from typing import Final

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY

from services.drm.licences.store import licences
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
_NOTED: Final = sa.select(*(key_uses.c[field.name] for field in fields(Use)))
_ISSUED: Final = sa.select(
    licences.c.licence_id.label("use_id"),
    licences.c.organisation_id,
    sa.cast(int(Action.LICENSED), sa.SmallInteger).label("action"),
    licences.c.session_id.label("actor"),
    licences.c.package_id,
    licences.c.key_ids,
    sa.literal("").label("kek_id"),
    sa.func.concat_ws(
        ", ",
        licences.c.key_system,
        sa.func.nullif("viewer " + licences.c.viewer_id, "viewer "),
        sa.func.nullif(licences.c.device_id, ""),
    ).label("detail"),
    licences.c.issue_time.label("use_time"),
)
"""Licences are kept by whoever issues them; here they are uses of keys."""
SUFFIX: Final = 26
"""Characters of an id after its prefix."""


async def note(tx: Tx, new: Sequence[Use]) -> None:
    """Keeps uses, in the transaction in which they happen."""
    if new:
        await tx.execute(sa.insert(key_uses), [asdict(use) for use in new])


async def page(
    tx: Tx, organisation_id: str, part: Page, *, key_id: str = "", package_id: str = "", actor: str = ""
) -> Sequence[Use]:
    """One page of an organisation's uses, newest first, and one more to tell whether there is another page."""
    chosen = []
    for source, prefix in ((_ISSUED, "lic_"), (_NOTED, "kus_")):
        column = source.selected_columns
        query = source.where(column.organisation_id == organisation_id)
        if key_id:
            query = query.where(column.key_ids.contains([key_id]))
        if package_id:
            query = query.where(column.package_id == package_id)
        if actor:
            query = query.where(column.actor == actor)
        if part.after:
            query = query.where(column.use_id < prefix + part.after)
        chosen.append(query.order_by(column.use_id.desc()).limit(part.size + 1))
    both = sa.union_all(*(query.subquery().select() for query in chosen)).subquery()
    # Ids of both kinds end in a moment that sorts.
    newest_first = both.select().order_by(sa.func.right(both.c.use_id, SUFFIX).desc()).limit(part.size + 1)
    return [Use(**row._asdict()) for row in await tx.execute(newest_first)]


async def forget(tx: Tx, before: datetime) -> None:
    """Removes uses that are older than a moment."""
    await tx.execute(sa.delete(key_uses).where(key_uses.c.use_time < before))
