"""Anchors in Bitcoin by OpenTimestamps: calendars take the SHA-256 of a checkpoint's note, and put it with those of others into a block.

What is kept is the standard `.ots` file of the note (https://opentimestamps.org). First it says which calendars took it; some hours later, what they answer
leads from the note to the Merkle root of a block. That the block is Bitcoin's is looked at by whoever verifies, not here.
"""

from __future__ import annotations

import asyncio
import fnmatch
import hashlib
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import httpx

from services.compliance.anchoring import store
from services.compliance.anchoring.anchor import OPENTIMESTAMPS, Confirmation, NotInstalled, Pending, Trouble
from services.kit.database import Database

if TYPE_CHECKING:
    from opentimestamps.core.timestamp import DetachedTimestampFile, Timestamp

_PATIENCE: Final = 8.0
_MOST_ANSWER: Final = 10_000
"""Bytes of an answer, as the protocol's own client allows."""
_HEADERS: Final = {"Accept": "application/vnd.opentimestamps.v1", "User-Agent": "reelmesh"}
MEDIA_TYPE: Final = "application/vnd.opentimestamps.v1"


class Unusable(Exception):
    """What a calendar answered is no timestamp."""


class OpenTimestampsAnchor:
    """The calendars that are asked.

    Args:
        database: the service's own.
        http: asks them.
        calendars: where new checkpoints are handed in.
        needed: how many of them must take one.
        trusted: patterns (fnmatch) of further calendars, `https://host`, which may be asked what became of a checkpoint when a timestamp names them: it
            is for a calendar to say who carries on.
    """

    name: str = OPENTIMESTAMPS
    at_once: int = 48  # Bitcoin takes hours
    followed_for: timedelta = timedelta(days=7)

    def __init__(
        self,
        database: Database,
        http: httpx.AsyncClient,
        calendars: tuple[str, ...],
        needed: int,
        trusted: tuple[str, ...],
    ) -> None:
        try:
            import opentimestamps.core.timestamp as library
        except ModuleNotFoundError:
            raise NotInstalled("anchoring by OpenTimestamps", "opentimestamps") from None
        self._library = library
        self._database = database
        self._http = http
        self._calendars = tuple(url.rstrip("/") for url in calendars)
        self._needed = min(needed, len(calendars))
        self._trusted = trusted

    async def submit(self, pending: Pending) -> None:
        async with self._database.transaction() as tx:
            if await store.find_timestamp(tx, pending.anchor_id):
                return
        digest = hashlib.sha256(pending.note.encode()).digest()
        answers = await asyncio.gather(*(self._handed_in(url, digest) for url in self._calendars))
        taken = [answer for answer in answers if not isinstance(answer, str)]
        if len(taken) < self._needed:
            why = "; ".join(answer for answer in answers if isinstance(answer, str))
            raise Trouble(f"{len(taken)} calendars took the checkpoint, and {self._needed} are needed: {why}")
        timestamp = self._library.Timestamp(digest)
        for one in taken:
            timestamp.merge(one)
        await self._keep(pending, timestamp)

    async def confirm(self, pending: Pending) -> Confirmation | None:
        async with self._database.transaction() as tx:
            content = await store.find_timestamp(tx, pending.anchor_id)
        timestamp = read(content).timestamp
        heights = bitcoin_heights(timestamp)
        if not heights:
            if not await self._upgraded(timestamp):
                return None
            await self._keep(pending, timestamp)
            heights = bitcoin_heights(timestamp)
        return Confirmation(min(heights)) if heights else None

    async def _handed_in(self, url: str, digest: bytes) -> Timestamp | str:
        """The timestamp of a calendar, or what is wrong with it."""
        try:
            return await self._asked("POST", f"{url}/digest", digest, digest)
        except (httpx.HTTPError, Unusable) as error:
            return f"{urlsplit(url).hostname} ({_why(error)})"

    async def _upgraded(self, timestamp: Timestamp) -> bool:
        """Asks those calendars that are named in a timestamp what became of it. True when one of them knows more."""
        waiting = [
            (part, attestation.uri)
            for part, attestation in _parts(timestamp)
            if type(attestation).__name__ == "PendingAttestation" and self._is_trusted(attestation.uri)
        ]
        answers = await asyncio.gather(*(self._came(part, uri) for part, uri in waiting))
        for (part, _), answer in zip(waiting, answers, strict=True):
            if answer is not None:
                part.merge(answer)
        return any(answer is not None for answer in answers)

    async def _came(self, part: Timestamp, uri: str) -> Timestamp | None:
        """What a calendar knows by now; None while that is nothing, or it is away."""
        try:
            return await self._asked("GET", f"{uri.rstrip('/')}/timestamp/{part.msg.hex()}", b"", part.msg)
        except (httpx.HTTPError, Unusable):
            return None

    async def _asked(self, method: str, url: str, content: bytes, message: bytes) -> Timestamp:
        """A calendar's answer, as a timestamp of a message.

        Raises:
            httpx.HTTPError: it does not answer, or with an error.
            Unusable: its answer is too long, or no timestamp.
        """
        body = bytearray()
        async with self._http.stream(method, url, content=content, headers=_HEADERS, timeout=_PATIENCE) as answer:
            answer.raise_for_status()
            async for part in answer.aiter_bytes():
                body += part
                if len(body) > _MOST_ANSWER:
                    raise Unusable("its answer is too long")
        from opentimestamps.core.serialize import BytesDeserializationContext, DeserializationError

        try:
            context = BytesDeserializationContext(bytes(body))
            found: Timestamp = self._library.Timestamp.deserialize(context, message)
            context.assert_eof()
        except (DeserializationError, ValueError, TypeError) as error:
            raise Unusable("its answer is no timestamp") from error
        return found

    def _is_trusted(self, uri: str) -> bool:
        """Whether somebody who is named in a timestamp may be asked: what calendars answer must not lead this service anywhere."""
        asked = uri.rstrip("/")
        return asked in self._calendars or any(fnmatch.fnmatchcase(asked, pattern) for pattern in self._trusted)

    async def _keep(self, pending: Pending, timestamp: Timestamp) -> None:
        async with self._database.transaction() as tx:
            await store.put_timestamp(tx, pending.anchor_id, written(timestamp))


def written(timestamp: Timestamp) -> bytes:
    """The `.ots` file of a timestamp of a SHA-256."""
    from opentimestamps.core.op import OpSHA256
    from opentimestamps.core.serialize import BytesSerializationContext
    from opentimestamps.core.timestamp import DetachedTimestampFile

    context = BytesSerializationContext()
    DetachedTimestampFile(OpSHA256(), timestamp).serialize(context)
    return bytes(context.getbytes())


def read(content: bytes) -> DetachedTimestampFile:
    """Reads an `.ots` file of our own."""
    from opentimestamps.core.serialize import BytesDeserializationContext
    from opentimestamps.core.timestamp import DetachedTimestampFile

    return DetachedTimestampFile.deserialize(BytesDeserializationContext(content))


def bitcoin_heights(timestamp: Timestamp) -> list[int]:
    """Numbers of the blocks of Bitcoin that a timestamp names."""
    return [one.height for _, one in _parts(timestamp) if type(one).__name__ == "BitcoinBlockHeaderAttestation"]


def _parts(timestamp: Timestamp) -> list[tuple[Timestamp, Any]]:
    """Each attestation, with the part of the timestamp that it hangs on."""
    own = [(timestamp, attestation) for attestation in timestamp.attestations]
    return own + [found for below in timestamp.ops.values() for found in _parts(below)]


def _why(error: Exception) -> str:
    if isinstance(error, httpx.HTTPStatusError):
        return f"answered {error.response.status_code}"
    return str(error) if isinstance(error, Unusable) else type(error).__name__
