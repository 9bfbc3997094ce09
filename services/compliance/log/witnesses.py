"""Witnesses: others who see that the log only grows, and sign what they saw (C2SP tlog-witness, tlog-cosignature).

Each is told of the latest checkpoint with the proof that it continues the one it signed last, and answers with its cosignature. A witness that knows of a
later size than we do says so, and is asked again from there.
"""

from __future__ import annotations

import asyncio
import base64
from dataclasses import dataclass
from typing import Final

import httpx
import structlog
from pydantic import BaseModel, ConfigDict, Field, field_validator

from services.compliance.log import proofs, store
from services.compliance.log.notes import VerifierKey, good_cosignatures, text_of
from services.kit import telemetry
from services.kit.database import Database
from services.kit.uncancelled import heed_cancellation

log = structlog.stdlib.get_logger()

_PATIENCE: Final = 10.0
_MOST_ANSWER: Final = 16_384
_SIZE_TYPE: Final = "text/x.tlog.size"


class WitnessSettings(BaseModel):
    """One witness."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    key: str = Field(description="Its verifier key, `<name>+<key id>+<base64>`, of type 0x04.")
    url: str = Field(
        default="",
        description="Prefix below which it takes `add-checkpoint`. Empty: its cosignatures are brought by AddCosignature.",
    )

    @field_validator("key")
    @classmethod
    def _readable(cls, value: str) -> str:
        VerifierKey.parsed(value)
        return value


@dataclass(frozen=True, slots=True)
class Witness:
    """A witness as it is asked."""

    key: VerifierKey
    url: str

    @classmethod
    def of(cls, settings: WitnessSettings) -> Witness:
        """From its settings."""
        return cls(VerifierKey.parsed(settings.key), settings.url.rstrip("/"))


class Unwilling(Exception):
    """A witness did not cosign; the message says why."""


class Witnesses:
    """Those that the log knows."""

    def __init__(self, database: Database, known: tuple[Witness, ...], http: httpx.AsyncClient) -> None:
        self._database = database
        self._known = known
        self._http = http

    @property
    def keys(self) -> tuple[VerifierKey, ...]:
        """By which their cosignatures are judged."""
        return tuple(witness.key for witness in self._known)

    async def run(self, every: float) -> None:
        """Tells those that can be asked of the latest checkpoint, every so many seconds until cancelled. Trouble is waited out."""
        asked = [witness for witness in self._known if witness.url]
        while asked:
            heed_cancellation()
            for witness in asked:
                try:
                    await self.ask(witness)
                except asyncio.CancelledError:
                    raise
                except Exception as error:  # away, or unwilling: asked again the next time
                    why = telemetry.masked(f"{type(error).__name__}: {error}")[:300]
                    log.warning("a witness did not cosign", witness=witness.key.name, error=why)
            await asyncio.sleep(every)
        await asyncio.Event().wait()  # nobody to ask

    async def ask(self, witness: Witness) -> bool:
        """Has one witness cosign the latest checkpoint. False when it has done so.

        Raises:
            Unwilling: it did not.
            httpx.HTTPError: it cannot be reached.
        """
        async with self._database.transaction() as tx:
            checkpoint = await store.find_checkpoint(tx)
            signed = await store.last_cosigned(tx, witness.key.name)
        if checkpoint is None or checkpoint.tree_size <= signed:
            return False
        answer = await self._told(witness, signed, checkpoint)
        if answer.status_code == 409 and answer.headers.get("content-type", "").startswith(_SIZE_TYPE):
            known = int(answer.text.strip())
            if not 0 <= known <= checkpoint.tree_size:
                raise Unwilling(f"it knows this log with {known} leaves, and there are {checkpoint.tree_size}")
            answer = await self._told(witness, known, checkpoint)
        if answer.status_code != 200 or len(answer.content) > _MOST_ANSWER:
            raise Unwilling(f"it answered {answer.status_code}")
        good = good_cosignatures(text_of(checkpoint.note), answer.text, (witness.key,))
        if not good:
            raise Unwilling("what it answered is no good cosignature of its key")
        async with self._database.transaction() as tx:
            await store.add_cosignatures(tx, checkpoint.tree_size, good)
        return True

    async def _told(self, witness: Witness, old: int, checkpoint: store.Checkpoint) -> httpx.Response:
        async with self._database.transaction() as tx:
            between = await proofs.consistency(tx, old, checkpoint.tree_size) if old else []
        lines = [f"old {old}", *(base64.b64encode(one).decode() for one in between), "", checkpoint.note]
        return await self._http.post(
            f"{witness.url}/add-checkpoint", content="\n".join(lines).encode(), timeout=_PATIENCE
        )
