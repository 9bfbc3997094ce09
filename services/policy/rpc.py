"""PolicyService: the contract, put in terms of the domain."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC
from typing import Any

import grpc
from reelmesh.policy.v1 import policy_pb2, policy_service_pb2_grpc
from reelmesh.policy.v1 import policy_service_pb2 as contract

from services.kit import events, idempotency, pagination
from services.kit.access import Principal
from services.kit.clock import Clock, duration, timestamp
from services.kit.database import Database, Tx, after_commit
from services.kit.errors import RPC_DOMAIN, Refusal
from services.kit.server import current_call
from services.policy import overlays, refusals, store
from services.policy.announcements import revocation
from services.policy.beats import Beats
from services.policy.decision import people
from services.policy.decision.facts import Kind
from services.policy.domain import BEAT_INTERVAL, DEFAULT_LIFETIME, Code, Session, Wanted
from services.policy.follower import Follower
from services.policy.gate import Gate
from services.policy.grace import Grace
from services.policy.judge import Judge, Known, PackageUnknown
from services.policy.keys import KeyDecisions
from services.policy.opening import Opened, Opening
from services.policy.signals.watching import Watch
from services.policy.tickets import Tickets
from services.policy.turns import Turns

Context = grpc.aio.ServicerContext[Any, Any]


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
        opening: Opening,
        gate: Gate,
        beats: Beats,
        public_url: str,
        grace: Grace,
        watch: Watch,
    ) -> None:
        self._database = database
        self._grace = grace
        self._watch = watch
        self._judge = judge
        self._opening = opening
        self._gate = gate
        self._keys = KeyDecisions(judge, gate, follower)
        self._beats = beats
        self._turns = Turns()
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
        request = _for_person(request, current_call().principal)
        if not request.viewer_id:
            return await self._grace(lambda: self._created(request))
        async with self._turns.of(f"{current_call().organisation_id} {request.viewer_id}"):
            return await self._grace(lambda: self._created(request))

    async def RedeemPlaybackCode(
        self, request: contract.RedeemPlaybackCodeRequest, context: Context
    ) -> contract.RedeemPlaybackCodeResponse:
        """Exchanges a code, once."""
        now = self._clock.now()
        async with self._database.transaction() as tx:
            session = await store.redeem(tx, request.code, now)
            title = await store.title_of(tx, session.asset_id)
            session.playing(now)
            overlay = await overlays.overlay_of(tx, session, current_call().client.address)
            opened = Opened(session, await store.package(tx, session.package_id), title, overlay)
        self._gate.expect(session)
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

    async def SendHeartbeat(
        self, request: contract.SendHeartbeatRequest, context: Context
    ) -> contract.SendHeartbeatResponse:
        """Notes that a session is alive, and what its page says of the overlay."""
        ticket = self._judge.heartbeat(request.ticket, request.package_id)
        if request.overlay_tampered:
            self._watch.tampered(ticket.organisation_id, ticket.session_id)
        await self._beats.beat(ticket.organisation_id, ticket.session_id)
        return contract.SendHeartbeatResponse(interval=duration(BEAT_INTERVAL.total_seconds()))

    async def AuthorizeKeys(
        self, request: contract.AuthorizeKeysRequest, context: Context
    ) -> contract.AuthorizeKeysResponse:
        """Judges by the same rules as the edge."""
        try:
            ticket, granted = self._judge.keys(request.ticket, request.package_id, request.key_ids)
        except PackageUnknown:
            await self._follower.catch_up()
            ticket, granted = self._judge.keys(request.ticket, request.package_id, request.key_ids)
        await self._gate.admit(Kind.LICENCE, ticket.organisation_id, ticket.session_id)
        return contract.AuthorizeKeysResponse(
            session_id=ticket.session_id, organisation_id=ticket.organisation_id, key_ids=granted
        )

    async def BatchAuthorizeKeys(
        self, request: contract.BatchAuthorizeKeysRequest, context: Context
    ) -> contract.BatchAuthorizeKeysResponse:
        """The same for many."""
        return contract.BatchAuthorizeKeysResponse(decisions=await self._keys.all_of(request.asks))

    async def _created(self, request: contract.CreatePlaybackRequest) -> contract.CreatePlaybackResponse:
        organisation_id, now = current_call().organisation_id, self._clock.now()
        async with self._database.transaction() as tx:
            earlier = await idempotency.first_answer(tx, organisation_id, request, contract.CreatePlaybackResponse)
            if earlier is None:
                await self._take_word(tx)
                opened = await self._opening.opened(tx, organisation_id, request.asset_id, _wanted(request))
            else:
                session = await store.get(tx, organisation_id, earlier.session.session_id)
                title = await store.title_of(tx, session.asset_id)
                session.playing(now)
                opened = Opened(session, await store.package(tx, session.package_id), title)
            if not isinstance(opened, Refusal):
                if earlier is None:
                    kept = contract.CreatePlaybackResponse(session=self._message(opened.session))
                    await idempotency.remember(tx, organisation_id, request, kept)
                overlay = await overlays.overlay_of(tx, opened.session, _wanted(request).address)
                opened = replace(opened, overlay=overlay)
                code = Code.of(opened.session, now)
                await store.replace_code(tx, opened.session.session_id, code)
        if isinstance(opened, Refusal):
            raise opened
        self._gate.expect(opened.session)
        return contract.CreatePlaybackResponse(
            session=self._message(opened.session),
            playback=self._playback(opened),
            code=code.text,
            code_expire_time=timestamp(code.expire_time),
            watch_url=f"{self._public_url}/watch/{opened.session.asset_id}#code={code.text}",
        )

    async def _take_word(self, tx: Tx) -> None:
        """Keeps what the caller's token says of them, should its event be on its way."""
        principal = current_call().principal
        if principal is not None and principal.account_id:
            await people.take_word(tx, principal)

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
            device_id=session.device_id,
            download=session.download,
            beat_time=timestamp(session.beat_time),
            territory=session.territory,
            entitlement_id=session.entitlement_id,
        )

    def _playback(self, opened: Opened) -> policy_pb2.Playback:
        """What a player needs, with a ticket of its own in every URL."""
        session, package = opened.session, opened.package
        ticket = self._tickets.mint(session, self._clock.now(), package)

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
            overlay=opened.overlay,
        )


def _for_person(request: contract.CreatePlaybackRequest, caller: Principal | None) -> contract.CreatePlaybackRequest:
    """The request with a person as its viewer, on the device that their token is bound to. Both are in it before the request is looked up
    by its `request_id`, so that nobody gets the session of somebody else who took the same id."""
    account_id = caller.account_id if caller else ""
    if caller is None or not account_id:
        return request
    if request.viewer_id not in {"", account_id}:
        raise refusals.viewer_not_self(account_id)
    if request.device_id not in {"", caller.device_id}:
        raise refusals.device_not_self(caller.device_id)
    named = contract.CreatePlaybackRequest()
    named.CopyFrom(request)
    named.viewer_id, named.device_id = account_id, caller.device_id
    named.device_key_thumbprint = caller.key_thumbprint if caller.device_id else ""
    return named


def _wanted(request: contract.CreatePlaybackRequest) -> Wanted:
    """What is asked for. Where a person is, the edge says; of whoever a server asks for, the server does."""
    call = current_call()
    principal = call.principal
    person = principal is not None and bool(principal.account_id)
    return Wanted(
        viewer_id=request.viewer_id,
        address=call.client.address if person else request.client_address,
        device_id=request.device_id,
        profile_id=principal.profile_id if principal else "",
        download=request.download,
        lifetime=request.lifetime.ToTimedelta() if request.HasField("lifetime") else DEFAULT_LIFETIME,
        # Of a person it is known; their own word for it would be worth nothing.
        sign_in_time=(
            request.sign_in_time.ToDatetime(tzinfo=UTC) if request.HasField("sign_in_time") and not person else None
        ),
        key_thumbprint=request.device_key_thumbprint,
    )


def _storable(field: str, text: str) -> None:
    """Refuses the one character that the database cannot keep."""
    if "\0" in text:
        message = "send text without NUL characters"
        raise Refusal(
            grpc.StatusCode.INVALID_ARGUMENT, "REQUEST_INVALID", message, domain=RPC_DOMAIN, fields=[(field, message)]
        )
