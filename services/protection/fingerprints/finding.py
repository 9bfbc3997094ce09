"""Finds the titles that a file has pieces of: asks the index, then compares with the fingerprints of those that it names."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import structlog

from services.kit.database import Database
from services.kit.storage import ObjectStore
from services.protection.detection.decoding import WHOLE, within_bars
from services.protection.fingerprints import comparing, making, store
from services.protection.fingerprints.comparing import Likeness
from services.protection.fingerprints.domain import Passage, Title, object_key
from services.protection.fingerprints.fingerprint import Fingerprint
from services.protection.fingerprints.index import Index, Sighting
from services.protection.fingerprints.making import Prints

log = structlog.stdlib.get_logger()

MOST_TITLES: Final = 12
"""Titles that a file is compared with, likeliest first."""
_MOST_NAMED: Final = 1000
_MAKING: Final = 0.85
"""Share of the work that the file's own fingerprints are."""


class Finder:
    """Finds titles.

    Args:
        index: which is asked.
        barred: look among what was taken down, whosoever it is, rather than among what is there.
    """

    def __init__(self, database: Database, objects: ObjectStore, index: Index, *, barred: bool = False) -> None:
        self._database = database
        self._objects = objects
        self._index = index
        self._barred = barred

    async def of_file(
        self,
        file: Path,
        *,
        organisation_id: str = "",
        but: str = "",
        on_fraction: Callable[[float], None] = lambda _: None,
    ) -> tuple[list[Passage], float]:
        """Pieces of titles in a file, longest first, and the file's length in seconds.

        Args:
            file: any film, or any sound.
            organisation_id: whose titles are looked for; empty for all.
            but: an asset that is not.
            on_fraction: told what share of the work is done.

        Raises:
            Refusal: COPY_UNDECODABLE.
        """
        prints = await making.of_file(file, mirrored=True, on_fraction=lambda share: on_fraction(share * _MAKING))
        found = await self.passages(prints, organisation_id=organisation_id, but=but)
        if not any(one.picture_seconds for one in found) and len(prints.plain.pictures):
            inside = await within_bars(file)
            if inside != WHOLE:  # such as a recording of a screen of another shape
                within = await making.of_file(file, mirrored=True, inside=inside)
                found = await self.passages(within, organisation_id=organisation_id, but=but) or found
        return found, prints.plain.seconds

    async def passages(self, prints: Prints, *, organisation_id: str = "", but: str = "") -> list[Passage]:
        """The same by fingerprints that are there already."""
        sightings = await asyncio.to_thread(self._index.sightings, prints)
        numbers = list(dict.fromkeys(one.candidate.title for one in sightings))[:_MOST_NAMED]
        async with self._database.transaction() as tx:
            known = await store.titles_numbered(tx, numbers, organisation_id=organisation_id, barred=self._barred)
        titles = {title.number: title for title in known if title.asset_id != but}
        found: list[Passage] = []
        for number in [number for number in numbers if number in titles][:MOST_TITLES]:
            ours = [one for one in sightings if one.candidate.title == number]
            found += await self._in_title(prints, titles[number], ours)
        return sorted(found, key=lambda one: -(one.picture_seconds + one.sound_seconds / 100))

    async def _in_title(self, prints: Prints, title: Title, sightings: Sequence[Sighting]) -> list[Passage]:
        print_ = await fingerprint_of(self._objects, title.asset_id)
        if print_ is None:
            return []
        found = await asyncio.to_thread(_compared, prints, print_, sightings)
        return [
            Passage(
                title_asset_id=title.asset_id,
                file_start_seconds=one.start,
                file_end_seconds=one.end,
                title_start_seconds=one.title_start,
                speed=one.speed,
                mirrored=mirrored,
                picture_seconds=one.picture_seconds,
                sound_seconds=one.sound_seconds,
                likeness=one.nearness,
                barred=title.barred,
                pictures=one.pictures,
                title_seconds=title.seconds,
            )
            for one, mirrored in found
        ]


async def fingerprint_of(objects: ObjectStore, asset_id: str) -> Fingerprint | None:
    """A title's fingerprint; None when the object store has none that can be read."""
    try:
        async with objects.local_copy(object_key(asset_id)) as file:
            return await asyncio.to_thread(lambda: Fingerprint.from_bytes(file.read_bytes()))
    except (FileNotFoundError, ValueError):
        log.warning("fingerprint is not there", asset_id=asset_id)
        return None


def _compared(prints: Prints, title: Fingerprint, sightings: Sequence[Sighting]) -> list[tuple[Likeness, bool]]:
    """Passages that do not lie over each other in the file: of those that do, the one with more of the title."""
    found: list[tuple[Likeness, bool]] = []
    for one in sightings:
        file = prints.mirrored if one.mirrored and prints.mirrored is not None else prints.plain
        found += [(like, one.mirrored) for like in comparing.likenesses(file, title, one.candidate)]
    found.sort(key=lambda pair: -(pair[0].picture_seconds + pair[0].sound_seconds / 100))
    kept: list[tuple[Likeness, bool]] = []
    for like, mirrored in found:
        if all(like.end <= other.start or like.start >= other.end for other, _ in kept):
            kept.append((like, mirrored))
    return kept
