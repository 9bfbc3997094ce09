"""FairPlayService: the contract, put in terms of licences."""

from __future__ import annotations

from typing import Any, Final

import grpc
from reelmesh.drm.v1 import fairplay_service_pb2 as api
from reelmesh.drm.v1 import fairplay_service_pb2_grpc

from services.drm.fairplay import challenge as challenges
from services.drm.fairplay import refusals
from services.drm.fairplay.credentials import NotConfigured
from services.drm.fairplay.deployments import Deployments
from services.drm.fairplay.licensing import FairPlay
from services.drm.licences import answers
from services.drm.licences.asked import Asked, Sent
from services.drm.licences.keyring import KeyRing
from services.drm.licences.policy import Hdcp, SecurityLevel

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
        sent = Sent.by_call(request.ticket, request.package_id, request.challenge)
        return api.AcquireFairPlayLicenceResponse(licence=(await self.licence(sent)).http_body())

    async def licence(self, sent: Sent) -> answers.Reply:
        """Answers a player."""
        return await answers.answered(lambda: self._licence(sent))

    async def GetFairPlayCertificate(
        self, request: api.GetFairPlayCertificateRequest, context: Context
    ) -> api.GetFairPlayCertificateResponse:
        """The application certificate."""
        answer = await answers.answered(lambda: self._certificate(request.package_id))
        return api.GetFairPlayCertificateResponse(certificate=answer.http_body())

    async def _licence(self, sent: Sent) -> answers.Reply:
        challenge = challenges.read(sent.challenge, sent.content_type)
        asked = Asked(
            ticket=sent.ticket,
            package_id=sent.package_id,
            key_ids=None if challenge.key_id is None else (challenge.key_id,),
            key_system=challenges.KEY_SYSTEM,
            security_level=SecurityLevel.HARDWARE,
            hdcp=Hdcp.V2_2,
            offline=challenge.offline,
            renewal_of=challenge.renewal_of,
            address=sent.client.address,
            user_agent=sent.client.user_agent,
            proof=sent.proof,
        )
        return challenge.answer(await self._fairplay.licence(asked, challenge))

    async def _certificate(self, package_id: str) -> answers.Reply:
        # Whose package it is matters only where somebody has a certificate of their own.
        owner = await self._keyring.organisation(package_id) if self._deployments.by_organisation else ""
        try:
            return answers.Reply(self._deployments.certificate(owner), _CERTIFICATE)
        except NotConfigured as error:
            raise refusals.not_configured(error) from None
