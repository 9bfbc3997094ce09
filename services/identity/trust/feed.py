"""Tells every server at once what was revoked and which keys sign: the other end of `services.kit.trust`."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from datetime import datetime, timedelta
from typing import Final

import structlog
from nats.aio.client import Client as NatsClient
from nats.aio.msg import Msg
from reelmesh.rpc.v1 import trust_service_pb2 as api

from services.identity.trust import store
from services.identity.trust.signing import Signer
from services.identity.trust.store import Revocation
from services.kit.clock import Clock, timestamp
from services.kit.database import Database, Tx, after_commit

log = structlog.stdlib.get_logger()

_SUBJECT: Final = "reelmesh.identity.trust"
"""NATS subject on which replicas tell each other that there is something new. Only a hint: they look by themselves too."""
_HEARTBEAT: Final = 5.0
_LOOK_EVERY: Final = 2.0
_TIDY_EVERY: Final = 60.0


class TrustFeed:
    """What is revoked now, in memory, and everybody who wants to hear of it."""

    def __init__(self, database: Database, clock: Clock, signer: Signer) -> None:
        self._database = database
        self._clock = clock
        self._signer = signer
        self._known: dict[str, Revocation] = {}
        self._seen_until: datetime | None = None
        self._listeners: set[asyncio.Queue[api.WatchTrustResponse | None]] = set()
        self._news = asyncio.Event()
        self._bus: NatsClient | None = None

    async def start(self, bus: NatsClient) -> None:
        """Loads everything, before anything is served."""
        self._bus = bus

        async def hint(_message: Msg) -> None:
            self._news.set()

        await bus.subscribe(_SUBJECT, cb=hint)
        await self.tidy()
        await self._look()

    async def revoke(self, tx: Tx, subject: str, *, before: timedelta = timedelta()) -> None:
        """Revokes, in the caller's transaction, all tokens that were issued for a subject up to now, or up to a moment before."""
        revocation = await store.revoke(tx, subject, self._clock.now() - before)
        after_commit(tx, lambda: self._revoked(revocation))

    def changed_keys(self, tx: Tx) -> None:
        """Tells everybody of the keys once the transaction is committed."""
        after_commit(tx, self._send_everything)

    def stands(self, subject: str, issued: float) -> bool:
        """Whether what was issued for a subject at a moment (Unix seconds) is not revoked."""
        revocation = self._known.get(subject)
        return revocation is None or issued > revocation.not_before.timestamp()

    async def watch(self) -> AsyncGenerator[api.WatchTrustResponse, None]:
        """Everything, and then each change; an empty message when there is none for a while."""
        queue: asyncio.Queue[api.WatchTrustResponse | None] = asyncio.Queue()
        self._listeners.add(queue)
        try:
            yield self._everything()
            while True:
                try:
                    async with asyncio.timeout(_HEARTBEAT):
                        message = await queue.get()
                except TimeoutError:
                    message = api.WatchTrustResponse()
                if message is None:
                    return
                yield message
        finally:
            self._listeners.discard(queue)

    async def run(self) -> None:
        """Follows what other replicas revoke, rotates keys when it is time, and forgets what expired, until cancelled."""
        tidy_at = asyncio.get_running_loop().time() + _TIDY_EVERY
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_LOOK_EVERY):
                    await self._news.wait()
            self._news.clear()
            try:
                await self._look()
                if asyncio.get_running_loop().time() >= tidy_at:
                    await self.tidy()
                    tidy_at += _TIDY_EVERY
            except Exception as error:  # the database is away: what is known stays, and it is tried again
                log.warning("trust is waiting", error=type(error).__name__)

    async def until_stopped(self) -> None:
        """Waits to be cancelled, then ends all streams: they have no end of their own, and a drain would wait for them."""
        try:
            await asyncio.Event().wait()
        finally:
            for queue in self._listeners:
                queue.put_nowait(None)

    async def _look(self) -> None:
        async with self._database.transaction() as tx:
            found, self._seen_until = await store.since(tx, self._seen_until)
        for revocation in found:
            if self._known.get(revocation.subject) != revocation:
                self._take(revocation)

    async def tidy(self) -> None:
        """Rotates keys when it is time, takes over what another replica made, and forgets what expired."""
        now = self._clock.now()
        async with self._database.transaction() as tx:
            await store.forget_old(tx, now)
            changed = await self._signer.refresh(tx)
            if changed:
                self.changed_keys(tx)
        for subject in [subject for subject, revocation in self._known.items() if revocation.forget_time < now]:
            del self._known[subject]

    def _revoked(self, revocation: Revocation) -> None:
        self._take(revocation)
        bus = self._bus
        if bus is not None and bus.is_connected:
            hint = asyncio.ensure_future(bus.publish(_SUBJECT, b""))
            hint.add_done_callback(lambda done: done.cancelled() or done.exception())

    def _take(self, revocation: Revocation) -> None:
        self._known[revocation.subject] = revocation
        self._send(api.WatchTrustResponse(revocations=[_message(revocation)]))

    def _send_everything(self) -> None:
        self._send(self._everything())

    def _send(self, message: api.WatchTrustResponse) -> None:
        for queue in self._listeners:
            queue.put_nowait(message)

    def _everything(self) -> api.WatchTrustResponse:
        return api.WatchTrustResponse(
            complete=True,
            issuer=self._signer.issuer,
            signing_keys=[api.SigningKey(key_id=key.key_id, public_key=key.public_key) for key in self._signer.keys],
            revocations=[_message(revocation) for revocation in self._known.values()],
        )


def _message(revocation: Revocation) -> api.Revocation:
    return api.Revocation(
        subject=revocation.subject,
        not_before_time=timestamp(revocation.not_before),
        forget_time=timestamp(revocation.forget_time),
    )
