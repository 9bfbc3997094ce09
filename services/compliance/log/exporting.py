"""The log as a file: lines of JSON that `reelmesh audit verify` judges without this service.

First what the file is, then the tiles of leaves' hashes, each followed by those of its leaves that may be shown, then the tiles above, then the
checkpoints, then what was anchored elsewhere. What the lines hold is in docs/audit.md. Everything is written as it stands in the tables: what somebody changed there is found by whoever
verifies.
"""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from services.compliance.anchoring import store as anchors
from services.compliance.anchoring.showing import exported_anchor
from services.compliance.log import store
from services.compliance.log.disclosing import Discloser, Unopened
from services.compliance.log.notes import VerifierKey
from services.compliance.log.tiles import WIDTH, levels
from services.kit.database import Database

FORMAT: Final = "reelmesh-audit/1"


@dataclass(frozen=True, slots=True)
class Wanted:
    """What an export holds.

    Attributes:
        organisation_id: whose records.
        content: also what opens their commitments.
        every_record: records of all organisations.
    """

    organisation_id: str
    content: bool
    every_record: bool


async def exported(
    database: Database, discloser: Discloser, key: VerifierKey, wanted: Wanted, now: datetime
) -> AsyncIterator[bytes]:
    """The export of the log as it is now, part by part, each of whole lines. What is added meanwhile is left out."""
    async with database.transaction() as tx:
        latest = await store.find_checkpoint(tx)
    if latest is None:
        return
    size = latest.tree_size
    yield _line(
        export=FORMAT,
        origin=key.name,
        verifier_key=str(key),
        organisation_id=wanted.organisation_id,
        tree_size=size,
        export_time=now.isoformat(),
    )
    for start in range(0, size, WIDTH):
        yield await _leaves(database, discloser, wanted, start, min(start + WIDTH, size))
    for level, count in list(levels(size))[1:]:
        for start in range(0, count, WIDTH):
            async with database.transaction() as tx:
                hashes = await store.hashes_between(tx, level, start, min(start + WIDTH, count))
            yield _tile(level, start // WIDTH, hashes)
    async with database.transaction() as tx:
        async for note in store.all_checkpoints(tx, size):
            yield _line(checkpoint=note)
    after = (0, "")
    while True:
        async with database.transaction() as tx:
            found = await anchors.all_up_to(tx, size, after, WIDTH)
        if not found:
            return
        yield b"".join(_line(anchor=exported_anchor(one)) for one in found)
        after = found[-1].tree_size, found[-1].anchor


async def _leaves(database: Database, discloser: Discloser, wanted: Wanted, start: int, end: int) -> bytes:
    async with database.transaction() as tx:
        found = await store.leaves_between(tx, start, end)
        shown = [leaf for leaf in found if wanted.every_record or leaf.organisation_id == wanted.organisation_id]
        own = [leaf for leaf in shown if leaf.organisation_id == wanted.organisation_id]
        opened = await discloser.opened(tx, own) if wanted.content else {}
    lines = [_tile(0, start // WIDTH, [leaf.leaf_hash for leaf in found])]
    for leaf in shown:
        said: dict[str, Any] = {
            "index": leaf.leaf_index,
            "record": leaf.record.decode(errors="replace"),
            "event_id": leaf.event_id,
            "event_type": leaf.event_type,
            "organisation_id": leaf.organisation_id,
        }
        match opened.get(leaf.leaf_index):
            case None:
                pass
            case Unopened():
                said["unreadable"] = True
            case disclosure:
                said["disclosure"] = disclosure.as_dict()
        lines.append(_line(leaf=said))
    return b"".join(lines)


def _tile(level: int, index: int, hashes: list[bytes]) -> bytes:
    return _line(tile={"level": level, "index": index, "hashes": base64.b64encode(b"".join(hashes)).decode()})


def _line(**members: object) -> bytes:
    return json.dumps(members, separators=(",", ":"), ensure_ascii=False).encode() + b"\n"
