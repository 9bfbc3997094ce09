"""Checks from their beginning to what they prove. While a provider is asked no row is locked; what it says is kept in one transaction, once."""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from reelmesh.compliance.v1 import events_pb2

from services.compliance.age import refusals, store
from services.compliance.age.contract import OK, Answer, Asked, Delivery, Find, Pending, Provider, Taken
from services.compliance.age.store import Check, Proof, State
from services.kit.clock import Clock, timestamp
from services.kit.database import Database, Tx
from services.kit.errors import Refusal
from services.kit.events import announce
from services.kit.ids import new_id
from services.kit.sealing import Seal, Unreadable

_NONCE_BYTES: Final = 32
_LATE: Final = frozenset({"AGE_CHECK_OVER", "AGE_CHECK_NOT_FOUND"})
PROVED_PAGE: Final = "/proved/"
"""Path of the web app to which viewers come back: it waits for what the provider says, and goes on."""


@dataclass(frozen=True, slots=True)
class Wish:
    """Whose age is to be proved, and how."""

    organisation_id: str
    viewer_id: str
    device_id: str
    provider: str
    method: str
    threshold: int
    return_path: str


class Checking:
    """Begins checks, and takes what is delivered about them.

    Args:
        found: the providers, by name.
        seal: of the install; hashes nonces, and seals what adapters need.
        public_url: where people and providers reach the edge.
        patience: how long viewers have.
        good_for: how long proofs are good at most.
    """

    def __init__(
        self,
        database: Database,
        clock: Clock,
        found: Mapping[str, Provider],
        seal: Seal,
        *,
        public_url: str,
        patience: timedelta,
        good_for: timedelta,
    ) -> None:
        self._database = database
        self._clock = clock
        self._found = found
        self._seal = seal
        self._url = public_url.rstrip("/")
        self._patience = patience
        self._good_for = good_for

    @property
    def found(self) -> Mapping[str, Provider]:
        """The providers, by name."""
        return self._found

    async def begun(self, wish: Wish) -> tuple[Check, str]:
        """Begins a check, which is not kept yet. Returns it, and where the viewer goes.

        Raises:
            Refusal: AGE_METHOD_UNAVAILABLE, AGE_PROVIDER_REFUSED, or UNAVAILABLE.
        """
        provider = self._found.get(wish.provider)
        if provider is None or wish.method not in provider.methods or not provider.proves(wish.threshold):
            raise refusals.age_method_unavailable(wish.provider, wish.method)
        now, nonce, check_id = self._clock.now(), secrets.token_urlsafe(_NONCE_BYTES), new_id("agc")
        asked = Asked(
            check_id=check_id,
            method=wish.method,
            threshold=wish.threshold,
            nonce=nonce,
            return_url=self._return_url(check_id),
            delivery_url=self._delivery_url(wish.provider),
            now=now,
            expire_time=now + self._patience,
        )
        begun = await provider.begin(asked)
        check = Check(
            check_id=check_id,
            organisation_id=wish.organisation_id,
            viewer_id=wish.viewer_id,
            device_id=wish.device_id,
            provider=wish.provider,
            method=wish.method,
            threshold=wish.threshold,
            state=State.OPEN,
            failure="",
            nonce_hash=self._hash(nonce),
            sealed=self._seal.seal(begun.secret, check_id) if begun.secret else b"",
            return_path=wish.return_path or "/",
            create_time=now,
            expire_time=asked.expire_time,
        )
        return check, begun.url

    async def take(self, name: str, delivery: Delivery) -> Answer:
        """Takes what came about some check of a provider's.

        Raises:
            Refusal: whatever is wrong with it.
        """
        provider = self._found.get(name)
        if provider is None:
            raise refusals.age_method_unavailable(name, "")
        try:
            taken = await provider.take(delivery, self._finds(name))
            if taken.verdict is not None:
                await self._decide(name, taken)
        except Refusal as refusal:
            if provider.repeats and refusal.reason in _LATE:
                return OK
            raise
        return taken.answer

    def _finds(self, name: str) -> Find:
        async def find(check_id: str) -> Pending:
            async with self._database.transaction() as tx:
                check = await self._open(tx, name, check_id, for_update=False)
            try:
                secret = self._seal.open(check.sealed, check_id) if check.sealed else b""
            except Unreadable:  # the install has other secrets than when the check began
                raise refusals.age_check_over() from None
            return Pending(
                check_id=check_id,
                method=check.method,
                threshold=check.threshold,
                secret=secret,
                delivery_url=self._delivery_url(name),
                return_url=self._return_url(check_id),
                create_time=check.create_time,
                expire_time=check.expire_time,
            )

        return find

    async def _open(self, tx: Tx, name: str, check_id: str, *, for_update: bool) -> Check:
        check = await store.find_check(tx, check_id, for_update=for_update)
        if check is None or check.provider != name:
            raise refusals.age_check_not_found(check_id)
        if check.at(self._clock.now()).state is not State.OPEN:
            raise refusals.age_check_over()
        return check

    async def _decide(self, name: str, taken: Taken) -> None:
        """Keeps what came out. Of two deliveries at the same time the second finds the check decided."""
        verdict, now = taken.verdict, self._clock.now()
        assert verdict is not None
        async with self._database.transaction() as tx:
            check = await self._open(tx, name, taken.check_id, for_update=True)
            if not hmac.compare_digest(check.nonce_hash, self._hash(taken.nonce)):
                raise refusals.age_proof_invalid("nonce", "it answers to another request")
            if verdict.once and not await store.use_once(tx, verdict.once, verdict.once_until or now + self._good_for):
                raise refusals.age_proof_invalid("replayed", "it was shown before, and is bound to nobody")
            await store.put_check(tx, check.decided(verdict))
            if verdict.passed:
                proof = Proof(
                    organisation_id=check.organisation_id,
                    viewer_id=check.viewer_id,
                    method=check.method,
                    proof_id=new_id("agp"),
                    provider=name,
                    threshold=check.threshold,
                    device_id=check.device_id,
                    nonce_hash=check.nonce_hash,
                    prove_time=now,
                    expire_time=now + self._good_for,
                )
                await store.put_proof(tx, proof)
                await announce(tx, _proved(proof))

    def _hash(self, nonce: str) -> bytes:
        return self._seal.digest("age nonce", nonce)

    def _delivery_url(self, name: str) -> str:
        return f"{self._url}/age/{name}"

    def _return_url(self, check_id: str) -> str:
        return f"{self._url}{PROVED_PAGE}{check_id}"


def _proved(proof: Proof) -> events_pb2.AgeProved:
    return events_pb2.AgeProved(
        viewer_id=proof.viewer_id,
        organisation_id=proof.organisation_id,
        threshold=proof.threshold,
        method=proof.method,
        expire_time=timestamp(proof.expire_time),
        change_time=timestamp(proof.prove_time),
        device_id=proof.device_id,
        provider=proof.provider,
    )
