"""UpstreamLicencesService: the contract, put in terms of licences."""

from __future__ import annotations

from typing import Any, Final

import grpc
from reelmesh.drm.v1 import upstream_licences_service_pb2 as api
from reelmesh.drm.v1 import upstream_licences_service_pb2_grpc

from services.drm.licences import answers
from services.drm.licences.asked import Asked, Sent
from services.drm.licences.policy import Hdcp, SecurityLevel
from services.drm.playready import challenge as playready_challenge
from services.drm.playready import faults
from services.drm.playready.licensing import PlayReady
from services.drm.upstream import refusals
from services.drm.upstream.acquiring import Grants, licence
from services.drm.widevine import challenge as widevine_challenge
from services.drm.widevine.challenge import Kind, Wish
from services.drm.widevine.licensing import Widevine

Context = grpc.aio.ServicerContext[Any, Any]

_BYTES: Final = "application/octet-stream"


class UpstreamLicencesServicer(upstream_licences_service_pb2_grpc.UpstreamLicencesServiceServicer):
    """Serves `reelmesh.drm.v1.UpstreamLicencesService`.

    Args:
        widevine, playready: None where the operator has none.
    """

    def __init__(self, grants: Grants, widevine: Widevine | None, playready: PlayReady | None) -> None:
        self._grants = grants
        self._widevine = widevine
        self._playready = playready

    async def AcquireWidevineLicence(
        self, request: api.AcquireWidevineLicenceRequest, context: Context
    ) -> api.AcquireWidevineLicenceResponse:
        """A licence or the service certificate."""
        sent = Sent.by_call(request.ticket, request.package_id, request.challenge)
        return api.AcquireWidevineLicenceResponse(licence=(await self.widevine(sent)).http_body())

    async def AcquirePlayReadyLicence(
        self, request: api.AcquirePlayReadyLicenceRequest, context: Context
    ) -> api.AcquirePlayReadyLicenceResponse:
        """A licence."""
        sent = Sent.by_call(request.ticket, request.package_id, request.challenge)
        return api.AcquirePlayReadyLicenceResponse(licence=(await self.playready(sent)).http_body())

    async def widevine(self, sent: Sent) -> answers.Reply:
        """Answers a player of Widevine."""
        return await answers.answered(lambda: self._of_widevine(sent))

    async def playready(self, sent: Sent) -> answers.Reply:
        """Answers a player of PlayReady."""
        return await answers.answered(lambda: self._of_playready(sent), faults.fault)

    async def _of_widevine(self, sent: Sent) -> answers.Reply:
        if self._widevine is None:
            raise refusals.not_offered(widevine_challenge.KEY_SYSTEM)
        challenge = widevine_challenge.read(sent.challenge)
        if challenge.kind == Kind.SERVICE_CERTIFICATE_REQUEST:
            return answers.Reply(await self._widevine.service_certificate(challenge), _BYTES)
        asked = _asked(
            sent,
            widevine_challenge.KEY_SYSTEM,
            challenge.key_ids,
            offline=challenge.offline,
        )
        ends = challenge.wish == Wish.RELEASE
        return answers.Reply(await licence(self._grants, self._widevine.about(challenge), asked, ends=ends), _BYTES)

    async def _of_playready(self, sent: Sent) -> answers.Reply:
        if self._playready is None:
            raise refusals.not_offered(playready_challenge.KEY_SYSTEM)
        challenge = playready_challenge.read(sent.challenge)
        asked = _asked(
            sent,
            playready_challenge.KEY_SYSTEM,
            challenge.key_ids,
            offline=challenge.offline,
        )
        return answers.Reply(await licence(self._grants, self._playready.about(challenge), asked), faults.CONTENT_TYPE)


def _asked(sent: Sent, key_system: str, key_ids: tuple[bytes, ...] | None, *, offline: bool) -> Asked:
    """What is asked of `Granting`. What the player is turns out only later, so it is taken for the best that there is; both key systems
    hold players to every version of HDCP."""
    return Asked(
        ticket=sent.ticket,
        package_id=sent.package_id,
        key_ids=key_ids,
        key_system=key_system,
        security_level=SecurityLevel.HARDWARE,
        hdcp=Hdcp.V2_2,
        offline=offline,
        address=sent.client.address,
        user_agent=sent.client.user_agent,
        proof=sent.proof,
    )
