"""A check of the gate: a master that shows what was taken down is held, and people look at it.

What was taken down is barred for everybody on the install: who uploads it again seldom does so under the same name. A hold is no judgement;
somebody of the compliance role releases what has a right to be here.
"""

from __future__ import annotations

import asyncio
from typing import Final

from services.kit.database import Database
from services.kit.errors import Refusal
from services.kit.storage import ObjectStore
from services.protection.fingerprints import store
from services.protection.fingerprints.domain import held_for
from services.protection.fingerprints.keeping import Keeping
from services.protection.gate import Finding, Ground, Master, Unreachable

LIST: Final = "taken-down"
"""What a hold says that the master was compared with."""


class Barring:
    """Looks whether a master is what was taken down, uploaded again."""

    name: Final = "fingerprints"

    def __init__(self, database: Database, objects: ObjectStore, keeping: Keeping) -> None:
        self._database = database
        self._objects = objects
        self._keeping = keeping

    async def look(self, master: Master) -> Finding | None:
        """Compares a master with all that is barred.

        Raises:
            Unreachable: the index of what is barred is still being made.
        """
        async with self._database.transaction() as tx:
            barred = await store.numbers_barred(tx)
        if not barred:
            return None
        if not barred <= await self._indexed():
            await self._keeping.once()
        if not barred <= await self._indexed():
            raise Unreachable("the index of what was taken down is being made")
        from services.protection.fingerprints.finding import Finder  # an idle service does without numpy

        try:
            finder = Finder(self._database, self._objects, self._keeping.barred, barred=True)
            passages, seconds = await finder.of_file(master.file, but=master.asset_id)
        except Refusal:
            return None  # no film at all: whoever encodes it says what is wrong with it
        held = held_for(passages, seconds)
        if not held:
            return None
        shown = ", ".join(f"{one.file_start_seconds:.0f}-{one.file_end_seconds:.0f} s" for one in held[:5])
        return Finding(
            check=self.name,
            ground=Ground.TAKEN_DOWN,
            list_name=LIST,
            entry=held[0].title_asset_id,
            distance=round(1 - held[0].likeness, 3),
            detail=f"shows {sum(one.picture_seconds for one in held):.0f} s of it, at {shown}",
        )

    async def _indexed(self) -> frozenset[int]:
        """Titles that the index of what is barred knows."""
        return await asyncio.to_thread(self._keeping.barred.titles)
