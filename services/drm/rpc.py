"""DrmService: the contract, put in terms of the domain."""

from __future__ import annotations

from typing import Any

import grpc
from google.api.httpbody_pb2 import HttpBody
from reelmesh.drm.v1 import drm_pb2, drm_service_pb2_grpc
from reelmesh.drm.v1 import drm_service_pb2 as contract

from services.drm import uses
from services.drm.domain import CLEAR_KEY, HLS_IDENTITY, key_id_of, kid_of
from services.drm.licences.asked import Asked, Grant, Proof
from services.drm.licences.granting import Granting
from services.drm.licences.policy import SecurityLevel
from services.drm.uses import Action, Use
from services.drm.vault import Vault
from services.kit.clock import Clock, timestamp
from services.kit.database import Database
from services.kit.server import current_call

Context = grpc.aio.ServicerContext[Any, Any]


class DrmServicer(drm_service_pb2_grpc.DrmServiceServicer):
    """Serves `reelmesh.drm.v1.DrmService`."""

    def __init__(self, database: Database, vault: Vault, granting: Granting, clock: Clock) -> None:
        self._database = database
        self._vault = vault
        self._granting = granting
        self._clock = clock

    async def CreateContentKeys(
        self, request: contract.CreateContentKeysRequest, context: Context
    ) -> contract.CreateContentKeysResponse:
        """The keys of a package, made at the first call."""
        async with self._database.transaction() as tx:
            keys = await self._vault.keys_for(tx, request.organisation_id, request.package_id, request.labels)
            use = Use.of(
                request.organisation_id,
                Action.PACKAGED,
                "service/packaging",
                self._clock.now(),
                package_id=request.package_id,
                key_ids=[key.key_id.hex() for key in keys],
            )
            await uses.note(tx, [use])
        return contract.CreateContentKeysResponse(
            keys=[drm_pb2.ContentKey(label=key.label, key_id=key.key_id, key=key.key, iv=key.iv) for key in keys]
        )

    async def IssueClearKeyLicence(
        self, request: contract.IssueClearKeyLicenceRequest, context: Context
    ) -> contract.IssueClearKeyLicenceResponse:
        """A Clear Key licence, for programs."""
        key_ids = tuple(dict.fromkeys(key_id_of(kid) for kid in request.kids))
        grant = await self._granted(request.ticket, request.package_id, key_ids, CLEAR_KEY, request.renewal_of)
        return licence_of(grant)

    async def GetHlsKey(self, request: contract.GetHlsKeyRequest, context: Context) -> contract.GetHlsKeyResponse:
        """One key as 16 bytes."""
        grant = await self._granted(
            request.ticket, request.package_id, (bytes.fromhex(request.key_id),), HLS_IDENTITY, ""
        )
        (key,) = grant.keys
        return contract.GetHlsKeyResponse(key=HttpBody(content_type="application/octet-stream", data=key.key))

    async def _granted(
        self, ticket: str, package_id: str, key_ids: tuple[bytes, ...], key_system: str, renewal_of: str
    ) -> Grant:
        """Keys that leave this service in the clear, recorded.

        A refusal by the policy goes on as it is: whether a key that may not be had exists is nobody's business.
        """
        call = current_call()
        asked = Asked(
            ticket=ticket,
            package_id=package_id,
            key_ids=key_ids,
            key_system=key_system,
            security_level=SecurityLevel.SOFTWARE,
            renewal_of=renewal_of,
            address=call.client.address,
            user_agent=call.client.user_agent,
            proof=Proof(call.metadata, call.method),
        )
        grant = await self._granting.granted(asked)
        await self._granting.issued(grant)
        return grant


def licence_of(grant: Grant) -> contract.IssueClearKeyLicenceResponse:
    """A Clear Key licence: a JSON Web Key Set with a session type (W3C EME §9.1.4)."""
    return contract.IssueClearKeyLicenceResponse(
        keys=[drm_pb2.ClearKeyJwk(kty="oct", kid=kid_of(key.key_id), k=kid_of(key.key)) for key in grant.keys],
        type="temporary",
        licence_id=grant.licence_id,
        expire_time=timestamp(grant.expire_time),
        renew_time=timestamp(grant.renew_time),
    )
