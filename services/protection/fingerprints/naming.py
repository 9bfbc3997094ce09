"""Which of the watermarked titles a suspicious file shows, so that only those need be read."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from services.kit.database import Database
from services.kit.storage import ObjectStore
from services.protection.fingerprints import store
from services.protection.fingerprints.finding import Finder
from services.protection.fingerprints.index import Index
from services.protection.store import MarkedTitle

_MOST: Final = 3
_FEW: Final = 12
"""So many titles are rather tried one by one than that a copy is not recognised, such as one of a few seconds."""


async def titles_shown(
    copy: Path,
    titles: Sequence[MarkedTitle],
    database: Database,
    objects: ObjectStore,
    index: Index,
    *,
    on_fraction: Callable[[float], None] = lambda _: None,
) -> list[MarkedTitle]:
    """Those of some watermarked titles that a file may show, likeliest first: what it is found to show by its fingerprint, or else the titles of
    which there is no fingerprint yet, or all where there are few.

    Raises:
        Refusal: COPY_UNDECODABLE.
    """
    by_asset = {title.asset_id: title for title in titles}
    async with database.transaction() as tx:
        numbers = await store.numbers_of(tx, by_asset)
    findable = await asyncio.to_thread(index.titles) if numbers else frozenset()
    known = {asset_id for asset_id, number in numbers.items() if number in findable}
    if known:
        organisations = {by_asset[asset_id].organisation_id for asset_id in known}
        only = organisations.pop() if len(organisations) == 1 else ""
        finder = Finder(database, objects, index)
        passages, _ = await finder.of_file(copy, organisation_id=only, on_fraction=on_fraction)
        shown = dict.fromkeys(one.title_asset_id for one in passages if one.title_asset_id in by_asset)
        if shown:
            return [by_asset[asset_id] for asset_id in list(shown)[:_MOST]]
    return [title for title in titles if title.asset_id not in known or len(titles) <= _FEW]
