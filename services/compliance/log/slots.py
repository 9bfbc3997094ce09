"""Slots of content (reservation, then commit): an upload reserves one for its asset, its publication commits the content to it.

Both are leaves of their events; what the slot is about stands in their records. The table only finds them.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import sqlalchemy as sa
from google.protobuf.message import Message
from reelmesh.packaging.v1 import events_pb2 as packaging
from reelmesh.upload.v1 import events_pb2 as upload
from sqlalchemy.dialects.postgresql import ARRAY, insert

from services.compliance.log.leaves import Slotted
from services.kit.database import Tx
from services.kit.ids import is_id

RESERVED: Final = "reserved"
COMMITTED: Final = "committed"
_TABLE: Final = sa.Table(
    "log_slots",
    sa.MetaData(),
    sa.Column("asset_id", sa.Text, primary_key=True),
    sa.Column("organisation_id", sa.Text),
    sa.Column("content_sha256", sa.Text),
    sa.Column("reserved_leaf_index", sa.BigInteger),
    sa.Column("reserve_time", sa.DateTime(timezone=True)),
    sa.Column("committed_leaf_index", sa.BigInteger),
    sa.Column("package_id", sa.Text),
    sa.Column("commit_time", sa.DateTime(timezone=True)),
)


@dataclass(frozen=True, slots=True)
class Slot:
    """A slot. What is of its commit is None or empty until then."""

    asset_id: str
    organisation_id: str
    content_sha256: str
    reserved_leaf_index: int
    reserve_time: datetime
    committed_leaf_index: int | None = None
    package_id: str = ""
    commit_time: datetime | None = None


def asset_of(message: Message) -> str:
    """The asset whose slot an event is about; empty for none."""
    if isinstance(message, upload.UploadCommitted | packaging.PackagePublished) and is_id("ast", message.asset_id):
        return message.asset_id
    return ""


class Slots:
    """The slots that a batch of events is about, changed as the events are read, and then kept together."""

    def __init__(self, found: dict[str, Slot]) -> None:
        self._slots = found
        self._changed: dict[str, Slot] = {}

    @classmethod
    async def of(cls, tx: Tx, asset_ids: Collection[str]) -> Slots:
        """Those of some assets."""
        if not asset_ids:
            return cls({})
        asked = sa.bindparam("ids", list(asset_ids), type_=ARRAY(sa.Text))
        rows = await tx.execute(sa.select(_TABLE).where(_TABLE.c.asset_id == sa.any_(asked)))
        return cls({row.asset_id: Slot(*row) for row in rows})

    def taken(self, message: Message, leaf_index: int, time: datetime) -> Slotted | None:
        """What an event that becomes a leaf does to a slot; None when nothing. What was never uploaded has no slot to be committed."""
        asset_id = asset_of(message)
        if not asset_id:
            return None
        if isinstance(message, upload.UploadCommitted):
            slot = Slot(asset_id, message.organisation_id, message.sha256, leaf_index, time)
            self._put(slot)
            return Slotted(asset_id, RESERVED, slot.content_sha256)
        assert isinstance(message, packaging.PackagePublished)
        reserved = self._slots.get(asset_id)
        if reserved is None or reserved.organisation_id != message.organisation_id:
            return None
        self._put(
            Slot(
                asset_id,
                reserved.organisation_id,
                reserved.content_sha256,
                reserved.reserved_leaf_index,
                reserved.reserve_time,
                committed_leaf_index=leaf_index,
                package_id=message.package_id,
                commit_time=time,
            )
        )
        return Slotted(asset_id, COMMITTED, reserved.content_sha256, message.package_id)

    async def keep(self, tx: Tx) -> None:
        """Keeps those that changed."""
        for slot in self._changed.values():
            row = {column.name: getattr(slot, column.name) for column in _TABLE.c}
            await tx.execute(insert(_TABLE).values(row).on_conflict_do_update(index_elements=["asset_id"], set_=row))

    def _put(self, slot: Slot) -> None:
        self._slots[slot.asset_id] = self._changed[slot.asset_id] = slot


async def find(tx: Tx, organisation_id: str, asset_id: str) -> Slot | None:
    """The slot of an organisation's asset; None when there is none."""
    query = sa.select(_TABLE).where(_TABLE.c.asset_id == asset_id, _TABLE.c.organisation_id == organisation_id)
    row = (await tx.execute(query)).one_or_none()
    return None if row is None else Slot(*row)
