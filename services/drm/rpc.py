"""DrmService: the contract, put in terms of the domain."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import grpc
from google.api.httpbody_pb2 import HttpBody
from reelmesh.drm.v1 import drm_pb2, drm_service_pb2_grpc, events_pb2
from reelmesh.drm.v1 import drm_service_pb2 as contract
from reelmesh.policy.v1 import policy_service_pb2, policy_service_pb2_grpc

from services.drm import uses
from services.drm.domain import CLEAR_KEY, HLS_IDENTITY, ContentKey, key_id_of, key_not_found, kid_of
from services.drm.uses import Action, Use
from services.drm.vault import Vault
from services.kit import events
from services.kit.clock import Clock, timestamp
from services.kit.database import Database

Context = grpc.aio.ServicerContext[Any, Any]


class DrmServicer(drm_service_pb2_grpc.DrmServiceServicer):
    """Serves `reelmesh.drm.v1.DrmService`."""

    def __init__(
        self, database: Database, vault: Vault, policy: policy_service_pb2_grpc.PolicyServiceAsyncStub, clock: Clock
    ) -> None:
        self._database = database
        self._vault = vault
        self._policy = policy
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
        """A licence in the form that browsers take."""
        key_ids = list(dict.fromkeys(key_id_of(kid) for kid in request.kids))
        keys = await self._granted(request.ticket, request.package_id, key_ids, CLEAR_KEY)
        return licence_of(keys)

    async def GetHlsKey(self, request: contract.GetHlsKeyRequest, context: Context) -> contract.GetHlsKeyResponse:
        """One key as 16 bytes."""
        (key,) = await self._granted(request.ticket, request.package_id, [bytes.fromhex(request.key_id)], HLS_IDENTITY)
        return contract.GetHlsKeyResponse(key=HttpBody(content_type="application/octet-stream", data=key.key))

    async def _granted(
        self, ticket: str, package_id: str, key_ids: Sequence[bytes], key_system: str
    ) -> list[ContentKey]:
        """Asks the policy which keys the holder of the ticket may have, opens those, and announces that they were given.

        A refusal by the policy goes on as it is: whether a key that may not be had exists is nobody's business.
        """
        asked = policy_service_pb2.AuthorizeKeysRequest(
            ticket=ticket, package_id=package_id, key_ids=[key_id.hex() for key_id in key_ids]
        )
        verdict = await self._policy.AuthorizeKeys(asked)
        async with self._database.transaction() as tx:
            keys = await self._vault.keys_by_id(tx, package_id, [bytes.fromhex(key_id) for key_id in verdict.key_ids])
            if not keys:
                raise key_not_found(package_id)
            use = Use.of(
                verdict.organisation_id,
                Action.LICENSED,
                verdict.session_id,
                self._clock.now(),
                package_id=package_id,
                key_ids=[key.key_id.hex() for key in keys],
                detail=key_system,
            )
            await uses.note(tx, [use])
            await events.announce(
                tx,
                events_pb2.LicenceIssued(
                    session_id=verdict.session_id,
                    package_id=package_id,
                    key_ids=[key.key_id.hex() for key in keys],
                    key_system=key_system,
                    issue_time=timestamp(self._clock.now()),
                ),
            )
        return keys


def licence_of(keys: Sequence[ContentKey]) -> contract.IssueClearKeyLicenceResponse:
    """A Clear Key licence: a JSON Web Key Set with a session type (W3C EME §9.1.4)."""
    jwks = [drm_pb2.ClearKeyJwk(kty="oct", kid=kid_of(key.key_id), k=kid_of(key.key)) for key in keys]
    return contract.IssueClearKeyLicenceResponse(keys=jwks, type="temporary")
