"""What cases of notices and of leaks say of titles: where they may not be shown, each case for itself. A title comes back when the last one lets go."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, insert

from services.kit.database import Tx, any_of
from services.policy.store import packages

title_holds: Final = sa.Table(
    "title_holds",
    sa.MetaData(),
    sa.Column("asset_id", sa.Text, primary_key=True),
    sa.Column("case_id", sa.Text, primary_key=True),
    sa.Column("organisation_id", sa.Text),
    sa.Column("taken_down", sa.Boolean),
    sa.Column("territories", ARRAY(sa.Text, as_tuple=True)),
    sa.Column("event_time", sa.DateTime(timezone=True)),
)
_ON: Final = sa.select(title_holds).where(title_holds.c.asset_id == any_of("asset_ids"))


@dataclass(frozen=True, slots=True)
class Hold:
    """What may not be shown of a title.

    Attributes:
        taken_down: it may be shown nowhere.
        territories: where it may not be shown, ISO 3166 codes in order; empty when it is taken down.
    """

    taken_down: bool = False
    territories: tuple[str, ...] = ()


NO_HOLD: Final = Hold()


async def keep(tx: Tx, asset_id: str, case_id: str, *, organisation_id: str, hold: Hold, moment: datetime) -> None:
    """Keeps what a case says, unless something later is known of it: events come in any order. What let go stays as such, so that an earlier event
    that comes late holds nothing."""
    values = {
        "organisation_id": organisation_id,
        "taken_down": hold.taken_down,
        "territories": hold.territories,
        "event_time": moment,
    }
    await tx.execute(
        insert(title_holds)
        .values(asset_id=asset_id, case_id=case_id, **values)
        .on_conflict_do_update(
            index_elements=["asset_id", "case_id"], set_=values, where=title_holds.c.event_time <= moment
        )
    )


async def holds_on(tx: Tx, asset_ids: Sequence[str]) -> Mapping[str, Hold]:
    """What all cases together say, of titles that any has ever spoken of."""
    found: dict[str, Hold] = {}
    for row in await tx.execute(_ON, {"asset_ids": list(asset_ids)}):
        before = found.get(row.asset_id, NO_HOLD)
        down = before.taken_down or row.taken_down
        places = () if down else tuple(sorted({*before.territories, *row.territories}))
        found[row.asset_id] = Hold(down, places)
    return found


async def taken_down_packages(tx: Tx) -> Mapping[str, str]:
    """Packages of titles that are taken down, each with the word by which they are held."""
    query = sa.select(packages.c.package_id).where(
        title_holds.c.taken_down,
        title_holds.c.asset_id == packages.c.asset_id,
        title_holds.c.organisation_id == packages.c.organisation_id,
    )
    return {row.package_id: "title" for row in await tx.execute(query)}
