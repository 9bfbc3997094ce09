"""Whose copy a file is: finds the title, reads the bits, accuses, and says how sure that is."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

import numpy as np

from services.kit.codewords import Code
from services.kit.storage import ObjectStore
from services.protection.code.accusation import FALSE_POSITIVES, Verdict, accuse, folded
from services.protection.detection import pipeline
from services.protection.detection.alignment import RATE, Alignment
from services.protection.detection.decoding import WHOLE, Inside, within_bars
from services.protection.detection.pipeline import Reading, Title
from services.protection.store import MarkedTitle, Rendition, Viewing

_LEAST_LONG: Final = 480
"""Pixels of the longer side of the smallest rendition that copies are read by."""
_LEAST_EVIDENCE: Final = 0.1
"""How much segments must count on average; in a copy that bears no mark of ours they count for next to nothing."""


class Outcome(StrEnum):
    """What came of it."""

    TITLE_NOT_FOUND = "TITLE_NOT_FOUND"
    NOT_ENOUGH_EVIDENCE = "NOT_ENOUGH_EVIDENCE"
    NOBODY_ACCUSED = "NOBODY_ACCUSED"
    ACCUSED = "ACCUSED"


@dataclass(frozen=True, slots=True)
class Suspect:
    """A session whose copy is in the file.

    Attributes:
        viewer_id: empty when it is not known.
        score: in standard deviations of an innocent's.
        false_positive: the chance that anybody at all would have been accused by so much, were all innocent, is no more than this.
    """

    session_id: str
    viewer_id: str
    create_time: datetime
    score: float
    false_positive: float


@dataclass(frozen=True, slots=True)
class Detection:
    """What was found out about a file.

    Attributes:
        title: that it shows; None when none was found.
        alignment: where in the title it lies.
        sessions: how many were looked at.
        suspects: most certain first.
    """

    outcome: Outcome
    title: MarkedTitle | None = None
    alignment: Alignment | None = None
    reading: Reading | None = None
    verdict: Verdict | None = None
    sessions: int = 0
    suspects: tuple[Suspect, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """For programs."""
        told: dict[str, Any] = {"outcome": str(self.outcome), "sessions": self.sessions}
        if self.title and self.alignment:
            told |= {"asset_id": self.title.asset_id, "likeness": round(self.alignment.likeness, 3)}
            told |= {"offset_seconds": round(self.alignment.offset, 2), "speed": round(self.alignment.speed, 4)}
            told["mirrored"] = self.alignment.mirrored
        if self.reading and self.verdict:
            told |= {"segments_read": len(self.reading.bits), "threshold": round(self.verdict.threshold, 2)}
            told["attainable"] = round(self.verdict.attainable, 2)
        told["accused"] = [
            {
                "session_id": one.session_id,
                "viewer_id": one.viewer_id,
                "create_time": one.create_time.isoformat(),
                "score": round(one.score, 2),
                "false_positive": float(f"{one.false_positive:.2g}"),
            }
            for one in self.suspects
        ]
        return told


@dataclass(frozen=True, slots=True)
class _Found:
    """Which title a copy shows: where in it, in which part of the copy's picture, and how many seconds long the copy is."""

    title: MarkedTitle
    where: Alignment
    inside: Inside
    seconds: float


@dataclass(frozen=True, slots=True)
class Detector:
    """Detects.

    Attributes:
        root: the install's secret, `services.kit.codewords.KEY_FILE`.
        objects: where renditions lie.
        viewings: everybody who played a title.
        false_positives: how likely it may be at most that anybody innocent is accused.
        on_stage: told what is done now, and what share of it.
    """

    root: bytes = field(repr=False)
    objects: ObjectStore
    viewings: Callable[[str], Awaitable[Sequence[Viewing]]]
    false_positives: float = FALSE_POSITIVES
    on_stage: Callable[[str, float], None] = lambda _stage, _share: None

    async def detect(self, copy: Path, titles: Sequence[MarkedTitle]) -> Detection:
        """Tells whose copy a file is, of those titles.

        Raises:
            Refusal: COPY_UNDECODABLE.
        """
        found = await self._found(copy, titles)
        if found is None or not found.where.found:
            return Detection(Outcome.TITLE_NOT_FOUND)
        title, where = found.title, found.where
        async with AsyncExitStack() as stack:
            known = await self._opened(stack, title, _to_read(title))
            reading = await pipeline.read_copy(
                copy,
                known,
                where,
                inside=found.inside,
                length=found.seconds,
                on_fraction=lambda share: self.on_stage("read", share),
            )
        return await self._judged(title, where, reading)

    async def _found(self, copy: Path, titles: Sequence[MarkedTitle]) -> _Found | None:
        """The title that the copy resembles most, and where in it the copy lies. A copy with black bars is tried with them and without."""
        if not titles:
            return None
        self.on_stage("find", 0.0)
        parts = list(dict.fromkeys((WHOLE, await within_bars(copy))))
        seen = [await pipeline.thumbnails(copy, part) for part in parts]
        seconds = max(1.0, len(seen[0]) / RATE)
        best: _Found | None = None
        for number, title in enumerate(titles):
            self.on_stage("find", number / len(titles))
            async with AsyncExitStack() as stack:
                known = await self._opened(stack, title, title.renditions[-1])
                for where, part in zip(await pipeline.found(seen, known), parts, strict=True):
                    if best is None or where.likeness > best.where.likeness:
                        best = _Found(title, where, part, seconds)
        return best

    async def _opened(self, stack: AsyncExitStack, title: MarkedTitle, rendition: Rendition) -> Title:
        a, b = [
            await stack.enter_async_context(self.objects.local_copy(key))
            for key in (rendition.variant_a, rendition.variant_b)
        ]
        return Title(a, b, rendition.width, rendition.height, rendition.frame_rate, title.segment_seconds)

    async def _judged(self, title: MarkedTitle, where: Alignment, reading: Reading) -> Detection:
        self.on_stage("accuse", 0.0)
        viewings = {one.session_id: one for one in await self.viewings(title.asset_id)}
        code = Code.of(self.root, title.asset_id, title.colluders)
        segments, weights = reading.evidence()
        evidence = folded(segments, weights)
        verdict = await asyncio.to_thread(accuse, code, evidence, list(viewings), false_positives=self.false_positives)
        suspects = tuple(
            Suspect(one.holder, viewing.viewer_id, viewing.create_time, one.score, one.false_positive)
            for one in verdict.accused
            for viewing in [viewings[one.holder]]
        )
        readable = verdict.enough and len(weights) > 0 and float(np.sqrt(np.mean(weights**2))) >= _LEAST_EVIDENCE
        nobody = Outcome.NOBODY_ACCUSED if readable else Outcome.NOT_ENOUGH_EVIDENCE
        outcome = Outcome.ACCUSED if suspects else nobody
        return Detection(outcome, title, where, reading, verdict, len(viewings), suspects)


def _to_read(title: MarkedTitle) -> Rendition:
    """The smallest rendition that still shows all that is compared."""
    fitting = [one for one in title.renditions if one.longer >= _LEAST_LONG]
    return (fitting or list(title.renditions[:1]))[-1]
