"""FairPlayService: the contract, put in terms of licences."""

from __future__ import annotations

from typing import Any, Final

import grpc
from google.api.httpbody_pb2 import HttpBody
from reelmesh.drm.v1 import fairplay_service_pb2 as api
from reelmesh.drm.v1 import fairplay_service_pb2_grpc

from services.drm.fairplay import challenge as challenges
from services.drm.fairplay import refusals
from services.drm.fairplay.credentials import NotConfigured
from services.drm.fairplay.deployments import Deployments
from services.drm.fairplay.licensing import FairPlay
from services.drm.licences import answers
from services.drm.licences.asked import Asked, Proof
from services.drm.licences.keyring import KeyRing
from services.drm.licences.policy import Hdcp, SecurityLevel
from services.kit.server import current_call

Context = grpc.aio.ServicerContext[Any, Any]

_CERTIFICATE: Final = "application/pkix-cert"


class FairPlayServicer(fairplay_service_pb2_grpc.FairPlayServiceServicer):
    """Serves `reelmesh.drm.v1.FairPlayService`."""

    def __init__(self, fairplay: FairPlay, deployments: Deployments, keyring: KeyRing) -> None:
        self._fairplay = fairplay
        self._deployments = deployments
        self._keyring = keyring

    async def AcquireFairPlayLicence(
        self, request: api.AcquireFairPlayLicenceRequest, context: Context
    ) -> api.AcquireFairPlayLicenceResponse:
        """A CKC."""
        return api.AcquireFairPlayLicenceResponse(licence=await answers.answered(lambda: self._licence(request)))

    async def GetFairPlayCertificate(
        self, request: api.GetFairPlayCertificateRequest, context: Context
    ) -> api.GetFairPlayCertificateResponse:
        """The application certificate."""
        answer = await answers.answered(lambda: self._certificate(request.package_id))
        return api.GetFairPlayCertificateResponse(certificate=answer)

    async def _licence(self, request: api.AcquireFairPlayLicenceRequest) -> HttpBody:
        challenge = challenges.read(request.challenge.data, request.challenge.content_type)
        call = current_call()
        asked = Asked(
            ticket=request.ticket,
            package_id=request.package_id,
            key_ids=None if challenge.key_id is None else (challenge.key_id,),
            key_system=challenges.KEY_SYSTEM,
            security_level=SecurityLevel.HARDWARE,
            hdcp=Hdcp.V2_2,
            offline=challenge.offline,
            renewal_of=challenge.renewal_of,
            address=call.client.address,
            user_agent=call.client.user_agent,
            proof=Proof(call.metadata, call.method),
        )
        return challenge.answer(await self._fairplay.licence(asked, challenge))

    async def _certificate(self, package_id: str) -> HttpBody:
        # Whose package it is matters only where somebody has a certificate of their own.
        owner = await self._keyring.organisation(package_id) if self._deployments.by_organisation else ""
        try:
            return answers.body(self._deployments.certificate(owner), _CERTIFICATE)
        except NotConfigured as error:
            raise refusals.not_configured(error) from None
