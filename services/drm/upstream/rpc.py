"""UpstreamLicencesService: the contract, put in terms of licences."""

from __future__ import annotations

from typing import Any, Final

import grpc
from google.api.httpbody_pb2 import HttpBody
from reelmesh.drm.v1 import upstream_licences_service_pb2 as api
from reelmesh.drm.v1 import upstream_licences_service_pb2_grpc

from services.drm.licences import answers
from services.drm.licences.granting import Asked, Proof
from services.drm.licences.policy import Hdcp, SecurityLevel
from services.drm.playready import challenge as playready_challenge
from services.drm.playready import faults
from services.drm.playready.licensing import PlayReady
from services.drm.upstream import refusals
from services.drm.upstream.acquiring import Grants, licence
from services.drm.widevine import challenge as widevine_challenge
from services.drm.widevine.challenge import Kind, Wish
from services.drm.widevine.licensing import Widevine
from services.kit.server import current_call

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
        return api.AcquireWidevineLicenceResponse(licence=await answers.answered(lambda: self._of_widevine(request)))

    async def AcquirePlayReadyLicence(
        self, request: api.AcquirePlayReadyLicenceRequest, context: Context
    ) -> api.AcquirePlayReadyLicenceResponse:
        """A licence."""
        answer = await answers.answered(lambda: self._of_playready(request), faults.fault)
        return api.AcquirePlayReadyLicenceResponse(licence=answer)

    async def _of_widevine(self, request: api.AcquireWidevineLicenceRequest) -> HttpBody:
        if self._widevine is None:
            raise refusals.not_offered(widevine_challenge.KEY_SYSTEM)
        challenge = widevine_challenge.read(request.challenge.data)
        if challenge.kind == Kind.SERVICE_CERTIFICATE_REQUEST:
            return answers.body(await self._widevine.service_certificate(challenge), _BYTES)
        asked = _asked(
            request.ticket,
            request.package_id,
            widevine_challenge.KEY_SYSTEM,
            challenge.key_ids,
            offline=challenge.offline,
        )
        ends = challenge.wish == Wish.RELEASE
        return answers.body(await licence(self._grants, self._widevine.about(challenge), asked, ends=ends), _BYTES)

    async def _of_playready(self, request: api.AcquirePlayReadyLicenceRequest) -> HttpBody:
        if self._playready is None:
            raise refusals.not_offered(playready_challenge.KEY_SYSTEM)
        challenge = playready_challenge.read(request.challenge.data)
        asked = _asked(
            request.ticket,
            request.package_id,
            playready_challenge.KEY_SYSTEM,
            challenge.key_ids,
            offline=challenge.offline,
        )
        return answers.body(await licence(self._grants, self._playready.about(challenge), asked), faults.CONTENT_TYPE)


def _asked(ticket: str, package_id: str, key_system: str, key_ids: tuple[bytes, ...] | None, *, offline: bool) -> Asked:
    """What is asked of `Granting`. What the player is turns out only later, so it is taken for the best that there is; both key systems
    hold players to every version of HDCP."""
    call = current_call()
    return Asked(
        ticket=ticket,
        package_id=package_id,
        key_ids=key_ids,
        key_system=key_system,
        security_level=SecurityLevel.HARDWARE,
        hdcp=Hdcp.V2_2,
        offline=offline,
        address=call.client.address,
        user_agent=call.client.user_agent,
        proof=Proof(call.metadata, call.method),
    )
