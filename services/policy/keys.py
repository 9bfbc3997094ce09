"""Decides who may have keys, for the service that gives them out: by the same rules as the edge, many at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime

from google.protobuf.timestamp_pb2 import Timestamp
from reelmesh.policy.v1 import policy_service_pb2 as contract

from services.kit.clock import timestamp
from services.kit.errors import Refusal
from services.kit.server import as_refusal
from services.policy.decision.facts import Kind
from services.policy.follower import Follower
from services.policy.gate import Gate
from services.policy.judge import Judge, PackageUnknown
from services.policy.tickets import Ticket


class KeyDecisions:
    """Decides about keys."""

    def __init__(self, judge: Judge, gate: Gate, follower: Follower) -> None:
        self._judge = judge
        self._gate = gate
        self._follower = follower

    async def all_of(self, asks: Sequence[contract.KeysAsked]) -> list[contract.KeysDecision]:
        """What is decided about each, in their order. Those that are known by heart do not wait for the others to be looked up, or cost a
        task each."""
        decisions: list[contract.KeysDecision | None] = []
        later: list[int] = []
        for place, ask in enumerate(asks):
            at_once = self._known(ask)
            decisions.append(await self.decided(ask) if at_once else None)
            if not at_once:
                later.append(place)
        found = await asyncio.gather(*(self.decided(asks[place]) for place in later))
        for place, decision in zip(later, found, strict=True):
            decisions[place] = decision
        return [decision for decision in decisions if decision is not None]

    async def decided(self, ask: contract.KeysAsked) -> contract.KeysDecision:
        """What is decided about one. Never raises a refusal: it is part of the answer."""
        ticket: Ticket | None = None
        try:
            ticket = self._judge.ticket(ask.ticket)
            return await self._decided(ask, ticket)
        except Exception as error:
            refusal = as_refusal(error)
            if refusal is None:
                raise
            return _refused(refusal, ticket)

    def _known(self, ask: contract.KeysAsked) -> bool:
        try:
            return self._gate.knows(self._judge.ticket(ask.ticket).session_id)
        except Refusal:
            return True  # it is refused at once

    async def _decided(self, ask: contract.KeysAsked, ticket: Ticket) -> contract.KeysDecision:
        every = not ask.key_ids
        try:
            granted = self._judge.keys_of(ticket, ask.package_id, ask.key_ids, every=every)
        except PackageUnknown:
            await self._follower.catch_up()
            granted = self._judge.keys_of(ticket, ask.package_id, ask.key_ids, every=every)
        session = await self._gate.admit(
            Kind.LICENCE,
            ticket.organisation_id,
            ticket.session_id,
            address=ask.client_address,
            user_agent=ask.user_agent,
        )
        decision = contract.KeysDecision(
            session_id=ticket.session_id,
            organisation_id=ticket.organisation_id,
            key_ids=granted,
            expire_time=_moment(ticket.expires),
        )
        if session is not None:
            decision.viewer_id = session.viewer_id
            decision.device_id = session.device_id
            decision.download = session.download
            decision.device_proven = bool(session.key_thumbprint) and session.key_thumbprint == ask.key_thumbprint
        return decision


def _refused(refusal: Refusal, ticket: Ticket | None) -> contract.KeysDecision:
    decision = contract.KeysDecision(refusal=refusal.status())
    if ticket is not None:
        decision.session_id = ticket.session_id
        decision.organisation_id = ticket.organisation_id
    return decision


def _moment(seconds: float) -> Timestamp | None:
    return timestamp(datetime.fromtimestamp(seconds, UTC))
