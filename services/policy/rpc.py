"""PolicyService: the contract, put in terms of the domain."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import Any, Final

import grpc
from reelmesh.policy.v1 import events_pb2, policy_pb2, policy_service_pb2_grpc
from reelmesh.policy.v1 import policy_service_pb2 as contract

from services.kit import events, idempotency, pagination
from services.kit.clock import Clock, timestamp
from services.kit.database import Database, Tx, after_commit
from services.kit.errors import RPC_DOMAIN, Refusal
from services.kit.server import current_call
from services.policy import refusals, store
from services.policy.consumers import revocation
from services.policy.domain import DEFAULT_LIFETIME, Code, Package, Session
from services.policy.follower import Follower
from services.policy.judge import Judge, Known, PackageUnknown
from services.policy.tickets import Tickets

Context = grpc.aio.ServicerContext[Any, Any]

EVENT_GRACE: Final = 2.0
"""Seconds. Whoever was told by `assets` that an asset is ready may come here before the same event has: it is given a moment to arrive."""
_LOOK_AGAIN: Final = 0.1


@dataclass(frozen=True, slots=True)
class _Opened:
    session: Session
    package: Package
    title: str


class PolicyServicer(policy_service_pb2_grpc.PolicyServiceServicer):
    """Serves `reelmesh.policy.v1.PolicyService`.

    Args:
        public_url: where people reach the edge.
    """

    def __init__(
        self,
        database: Database,
        clock: Clock,
        *,
        judge: Judge,
        known: Known,
        follower: Follower,
        tickets: Tickets,
        public_url: str,
        event_grace: float = EVENT_GRACE,
    ) -> None:
        self._database = database
        self._event_grace = event_grace
        self._judge = judge
        self._known = known
        self._follower = follower
        self._tickets = tickets
        self._clock = clock
        self._public_url = public_url.rstrip("/")

    async def CreatePlayback(
        self, request: contract.CreatePlaybackRequest, context: Context
    ) -> contract.CreatePlaybackResponse:
        """Opens a session, or returns to the one that this request opened before. Ticket and code are new each time: neither is kept."""
        _storable("viewer_id", request.viewer_id)
        give_up = time.monotonic() + self._event_grace
        while True:
            try:
                return await self._created(request)
            except Refusal as refusal:
                if refusal.reason != "ASSET_NOT_PLAYABLE" or time.monotonic() >= give_up:
                    raise
            await asyncio.sleep(_LOOK_AGAIN)

    async def RedeemPlaybackCode(
        self, request: contract.RedeemPlaybackCodeRequest, context: Context
    ) -> contract.RedeemPlaybackCodeResponse:
        """Exchanges a code, once."""
        now = self._clock.now()
        async with self._database.transaction() as tx:
            session = await store.redeem(tx, request.code, now)
            title = await store.title_of(tx, session.asset_id)
            session.playing(now)
            opened = _Opened(session, await store.package(tx, session.package_id), title)
        return contract.RedeemPlaybackCodeResponse(playback=self._playback(opened))

    async def GetPlaybackSession(
        self, request: contract.GetPlaybackSessionRequest, context: Context
    ) -> contract.GetPlaybackSessionResponse:
        """One session."""
        async with self._database.transaction() as tx:
            session = await store.get(tx, current_call().organisation_id, request.session_id)
        return contract.GetPlaybackSessionResponse(session=self._message(session))

    async def ListPlaybackSessions(
        self, request: contract.ListPlaybackSessionsRequest, context: Context
    ) -> contract.ListPlaybackSessionsResponse:
        """The organisation's sessions, newest first."""
        _storable("viewer_id", request.viewer_id)
        part = pagination.page_of(request)
        async with self._database.transaction() as tx:
            found = await store.page(tx, current_call().organisation_id, request.asset_id, request.viewer_id, part)
        shown = found[: part.size]
        token = part.next_token(shown[-1].session_id) if len(found) > part.size else ""
        return contract.ListPlaybackSessionsResponse(
            sessions=[self._message(session) for session in shown], next_page_token=token
        )

    async def RevokePlaybackSession(
        self, request: contract.RevokePlaybackSessionRequest, context: Context
    ) -> contract.RevokePlaybackSessionResponse:
        """Ends a session; this process refuses it from the moment of the commit."""
        _storable("comment", request.comment)
        async with self._database.transaction() as tx:
            before = await store.get(tx, current_call().organisation_id, request.session_id, for_update=True)
            session = before.revoked(self._clock.now(), request.comment)
            if session is not before:
                await store.put(tx, session)
                await events.announce(tx, revocation(session))
                after_commit(tx, lambda: self._known.revoke(session.session_id, session.expire_time.timestamp()))
        return contract.RevokePlaybackSessionResponse(session=self._message(session))

    async def AuthorizeKeys(
        self, request: contract.AuthorizeKeysRequest, context: Context
    ) -> contract.AuthorizeKeysResponse:
        """Judges by the same rules as the edge."""
        try:
            ticket, granted = self._judge.keys(request.ticket, request.package_id, request.key_ids)
        except PackageUnknown:
            await self._follower.catch_up()
            ticket, granted = self._judge.keys(request.ticket, request.package_id, request.key_ids)
        return contract.AuthorizeKeysResponse(
            session_id=ticket.session_id, organisation_id=ticket.organisation_id, key_ids=granted
        )

    async def _created(self, request: contract.CreatePlaybackRequest) -> contract.CreatePlaybackResponse:
        organisation_id, now = current_call().organisation_id, self._clock.now()
        async with self._database.transaction() as tx:
            earlier = await idempotency.first_answer(tx, organisation_id, request, contract.CreatePlaybackResponse)
            if earlier is None:
                opened = await self._opened(tx, organisation_id, request)
                await idempotency.remember(
                    tx, organisation_id, request, contract.CreatePlaybackResponse(session=self._message(opened.session))
                )
            else:
                session = await store.get(tx, organisation_id, earlier.session.session_id)
                title = await store.title_of(tx, session.asset_id)
                session.playing(now)
                opened = _Opened(session, await store.package(tx, session.package_id), title)
            code = Code.of(opened.session, now)
            await store.replace_code(tx, opened.session.session_id, code)
        return contract.CreatePlaybackResponse(
            session=self._message(opened.session),
            playback=self._playback(opened),
            code=code.text,
            code_expire_time=timestamp(code.expire_time),
            watch_url=f"{self._public_url}/watch/{opened.session.asset_id}#code={code.text}",
        )

    async def _opened(self, tx: Tx, organisation_id: str, request: contract.CreatePlaybackRequest) -> _Opened:
        package = await store.newest_package(tx, organisation_id, request.asset_id)
        title = await store.title_of(tx, request.asset_id)
        # The edge may have heard of a deletion before it is in the database: what one refuses the other must not open.
        if self._known.is_withdrawn(request.asset_id):
            raise refusals.asset_withdrawn(request.asset_id, grpc.StatusCode.FAILED_PRECONDITION)
        lifetime = request.lifetime.ToTimedelta() if request.HasField("lifetime") else DEFAULT_LIFETIME
        session = Session.opened(package, request.viewer_id, self._clock.now(), lifetime)
        await store.add(tx, session)
        await events.announce(
            tx,
            events_pb2.PlaybackCreated(
                session_id=session.session_id,
                asset_id=session.asset_id,
                package_id=session.package_id,
                organisation_id=session.organisation_id,
                viewer_id=session.viewer_id,
                expire_time=timestamp(session.expire_time),
                create_time=timestamp(session.create_time),
            ),
        )
        after_commit(tx, lambda: self._known.publish(package))
        return _Opened(session, package, title)

    def _message(self, session: Session) -> policy_pb2.PlaybackSession:
        """A session as the contract shows it."""
        return policy_pb2.PlaybackSession(
            session_id=session.session_id,
            asset_id=session.asset_id,
            package_id=session.package_id,
            organisation_id=session.organisation_id,
            viewer_id=session.viewer_id,
            state=policy_pb2.SessionState.ValueType(session.state(self._clock.now())),
            create_time=timestamp(session.create_time),
            expire_time=timestamp(session.expire_time),
            revoke_time=timestamp(session.revoke_time),
            revoke_comment=session.revoke_comment,
        )

    def _playback(self, opened: _Opened) -> policy_pb2.Playback:
        """What a player needs, with a ticket of its own in every URL."""
        session, package = opened.session, opened.package
        ticket = self._tickets.mint(session, self._clock.now())

        def url(path: str) -> str:
            return f"{self._public_url}/p/{ticket}/{package.package_id}/{path}" if path else ""

        return policy_pb2.Playback(
            session_id=session.session_id,
            asset_id=session.asset_id,
            title=opened.title,
            package_id=package.package_id,
            hls_url=url(package.hls_path),
            dash_url=url(package.dash_path),
            licence_url=url("licence/clearkey"),
            poster_url=url(package.poster_path),
            thumbnails_url=url(package.thumbnails_path),
            expire_time=timestamp(session.expire_time),
        )


def _storable(field: str, text: str) -> None:
    """Refuses the one character that the database cannot keep."""
    if "\0" in text:
        message = "send text without NUL characters"
        raise Refusal(
            grpc.StatusCode.INVALID_ARGUMENT, "REQUEST_INVALID", message, domain=RPC_DOMAIN, fields=[(field, message)]
        )
