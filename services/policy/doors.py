"""The ways into a package: a ticket in the path, an access token, a ticket in a cookie, a preview URL. Behind each stands the same judge."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from typing import Final

from services.kit.clock import Clock
from services.policy import bearers, paths
from services.policy.bearers import EdgeRequest, Shown
from services.policy.cat.admission import AccessTokens, Holder
from services.policy.decision.facts import Kind
from services.policy.follower import Follower
from services.policy.gate import Gate
from services.policy.judge import PUBLISHED, Admission, Judge, PackageUnknown
from services.policy.previews import Previews
from services.policy.signals.watching import Watch
from services.policy.tickets import Tickets

_DECIDED: Final = {
    (paths.Kind.MEDIA, True): Kind.MANIFEST,
    (paths.Kind.LICENCE, False): Kind.LICENCE,
    (paths.Kind.KEY, False): Kind.LICENCE,
}
"""What is decided by all rules."""


@dataclass(frozen=True, slots=True)
class Passage:
    """A request that may go on.

    Attributes:
        session_id: empty for previews.
        package_id: what is asked for.
        path: path that it goes on with; empty when it keeps its own.
        answer_headers: fields to add to the answer.
    """

    session_id: str
    package_id: str
    path: str
    answer_headers: Sequence[tuple[str, str]] = ()


class Doors:
    """Lets requests in, or says why not."""

    def __init__(
        self,
        judge: Judge,
        follower: Follower,
        clock: Clock,
        *,
        gate: Gate,
        watch: Watch,
        tickets: Tickets,
        tokens: AccessTokens,
        previews: Previews,
    ) -> None:
        self._judge = judge
        self._gate = gate
        self._watch = watch
        self._follower = follower
        self._clock = clock
        self._tickets = tickets
        self._tokens = tokens
        self._previews = previews

    async def pass_through(self, request: EdgeRequest) -> Passage:
        """Judges one request.

        Raises:
            Refusal: whatever is wrong with it, as `policy.proto` lists.
        """
        try:
            return await self._judged(request)
        except PackageUnknown:
            await self._follower.catch_up()
            return await self._judged(request)

    def owner(self, package_id: str) -> str:
        """The organisation that a published package belongs to.

        Raises:
            Refusal: as above.
        """
        return self._judge.published(package_id).organisation_id

    async def _judged(self, request: EdgeRequest) -> Passage:
        if request.path.startswith("/v/"):
            return await self._preview(request)
        shown = bearers.shown(request)
        if shown is None:
            admission = self._judge.request(request.method, request.path)
            await self._decided(admission, request)
            return _passage(request.path.split("/")[3:4], admission)
        if shown.is_ticket:
            ticket = self._tickets.read(shown.credential)
            admission = self._judge.admission(ticket, shown.playback, request.method)
            await self._decided(admission, request)
            path = _with_ticket(shown, shown.credential) if bearers.leads_to_drm(shown.playback) else admission.path
            return Passage(admission.session_id, shown.playback.package_id, path)
        return await self._by_token(shown, request)

    async def _decided(self, admission: Admission, request: EdgeRequest) -> None:
        """Goes on when all rules let it through. Segments are judged by standing alone, and heartbeats when they arrive."""
        kind = _DECIDED.get((admission.kind, admission.manifest))
        if kind is not None and request.method != "OPTIONS":
            await self._gate.admit(
                kind,
                admission.organisation_id,
                admission.session_id,
                address=request.address,
                user_agent=request.headers.get("user-agent", ""),
            )
        elif admission.kind is paths.Kind.MEDIA and request.method == "GET":
            self._watch.segment(admission.organisation_id, admission.session_id)

    async def _by_token(self, shown: Shown, request: EdgeRequest) -> Passage:
        judged = partial(self._judge.admission, asked=shown.playback, method=request.method)
        holder = await self._tokens.holder(shown.credential, shown.carrier, shown.asked, judged=judged)
        admission = judged(holder.ticket)
        await self._decided(admission, request)
        path = admission.path
        if bearers.leads_to_drm(shown.playback):
            path = _with_ticket(shown, self._ticket_for(holder))
        renewed = [] if holder.renewed is None else [holder.renewed]
        return Passage(holder.ticket.session_id, shown.playback.package_id, path, renewed)

    async def _preview(self, request: EdgeRequest) -> Passage:
        preview = self._previews.read(request.method, request.path, request.address)
        package = self._judge.published(preview.package_id)
        await self._gate.show(package.organisation_id, package.asset_id, request.address)
        return Passage("", preview.package_id, f"{PUBLISHED}/{preview.package_id}/{preview.file}")

    def _ticket_for(self, holder: Holder) -> str:
        """A ticket that lasts as long as the token, for the service that hands keys out: it knows tickets only."""
        ends = datetime.fromtimestamp(holder.ticket.expires, UTC)
        return self._tickets.mint(replace(holder.session, expire_time=ends), self._clock.now())


def _passage(package_id: Sequence[str], admission: Admission) -> Passage:
    return Passage(admission.session_id, "".join(package_id), admission.path)


def _with_ticket(shown: Shown, ticket: str) -> str:
    return f"/p/{ticket}/{shown.playback.package_id}/{shown.playback.file}"
