"""The API keys contract."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from typing import Any, Final

import grpc
from google.protobuf.timestamp_pb2 import Timestamp
from reelmesh.identity.v1 import api_keys_service_pb2 as api
from reelmesh.identity.v1 import api_keys_service_pb2_grpc, events_pb2, identity_pb2

from services.identity.api_keys import store
from services.identity.api_keys.store import ApiKey
from services.identity.organisations import store as organisations
from services.identity.organisations.authority import authority_of
from services.identity.organisations.roles import check_known
from services.identity.refusals import invalid_field, organisation_not_found, refusal
from services.identity.trust.feed import TrustFeed
from services.kit.access import Principal, new_api_key
from services.kit.clock import Clock, timestamp
from services.kit.database import Database
from services.kit.errors import Refusal
from services.kit.events import announce
from services.kit.idempotency import first_answer, remember
from services.kit.ids import new_id
from services.kit.pagination import page_of
from services.kit.server import current_call

Context = grpc.aio.ServicerContext[Any, Any]

PREFIX_LENGTH: Final = 12
"""Characters of a key that are kept to recognise it by: `rmk_` and 8 of its 43 others."""


class ApiKeysServicer(api_keys_service_pb2_grpc.ApiKeysServiceServicer):
    """Serves `reelmesh.identity.v1.ApiKeysService`."""

    def __init__(self, database: Database, clock: Clock, feed: TrustFeed) -> None:
        self._database = database
        self._clock = clock
        self._feed = feed

    async def CreateApiKey(self, request: api.CreateApiKeyRequest, context: Context) -> api.CreateApiKeyResponse:
        """Makes a key and shows it, once."""
        caller, now = _caller(), self._clock.now()
        check_known(request.permissions)
        expire_time = _future(request.expire_time, now) if request.HasField("expire_time") else None
        async with self._database.transaction() as tx:
            if await organisations.locked(tx, caller.organisation_id) is None:
                raise organisation_not_found(caller.organisation_id)
            if earlier := await first_answer(tx, caller.organisation_id, request, api.CreateApiKeyResponse):
                return earlier
            (await authority_of(tx, caller, "api_keys.manage")).check(request.permissions)
            secret = new_api_key()
            key = ApiKey(
                key_id=new_id("key"),
                organisation_id=caller.organisation_id,
                key_sha256=hashlib.sha256(secret.encode()).digest(),
                prefix=secret[:PREFIX_LENGTH],
                display_name=request.display_name,
                permissions=tuple(sorted(request.permissions)),
                create_time=now,
                expire_time=expire_time,
            )
            await store.add(tx, key)
            await announce(
                tx,
                events_pb2.ApiKeyCreated(
                    key_id=key.key_id,
                    organisation_id=key.organisation_id,
                    permissions=key.permissions,
                    actor=caller.name,
                    create_time=timestamp(now),
                ),
            )
            answer = api.CreateApiKeyResponse(api_key=_resource(key))
            await remember(tx, caller.organisation_id, request, answer)
        answer.secret = secret
        return answer

    async def ListApiKeys(self, request: api.ListApiKeysRequest, context: Context) -> api.ListApiKeysResponse:
        """The organisation's keys."""
        part = page_of(request)
        async with self._database.transaction() as tx:
            found = await store.page(tx, _caller().organisation_id, self._clock.now(), part)
        shown = found[: part.size]
        return api.ListApiKeysResponse(
            api_keys=[_resource(key) for key in shown],
            next_page_token=part.next_token(shown[-1].key_id) if len(found) > part.size else "",
        )

    async def RevokeApiKey(self, request: api.RevokeApiKeyRequest, context: Context) -> api.RevokeApiKeyResponse:
        """Ends a key, everywhere."""
        caller, now = _caller(), self._clock.now()
        async with self._database.transaction() as tx:
            before = await store.find_by_id(tx, caller.organisation_id, request.key_id)
            if before is None:
                raise api_key_not_found(request.key_id)
            key = before.revoked(now)
            if key is not before:
                await store.put_revoked(tx, key)
                await self._feed.revoke(tx, key.key_id)
                await announce(
                    tx,
                    events_pb2.ApiKeyRevoked(
                        key_id=key.key_id,
                        organisation_id=key.organisation_id,
                        actor=caller.name,
                        revoke_time=timestamp(now),
                    ),
                )
        return api.RevokeApiKeyResponse(api_key=_resource(key))


def api_key_not_found(key_id: str) -> Refusal:
    """None, or none of this organisation."""
    message = f"the organisation has no API key {key_id}; ListApiKeys has those that there are"
    return refusal(grpc.StatusCode.NOT_FOUND, "API_KEY_NOT_FOUND", message, key_id=key_id)


def _caller() -> Principal:
    """Who calls; the contract lets nobody in without a credential."""
    principal = current_call().principal
    assert principal is not None
    return principal


def _future(stamp: Timestamp, now: datetime) -> datetime:
    """A moment that is still to come.

    Raises:
        Refusal: INVALID_ARGUMENT `REQUEST_INVALID`.
    """
    try:
        moment = stamp.ToDatetime(tzinfo=UTC)
    except (ValueError, OverflowError) as error:
        raise invalid_field("expire_time", "this is not a moment between the years 1 and 9999") from error
    if moment <= now:
        raise invalid_field("expire_time", "the moment must be in the future")
    return moment


def _resource(key: ApiKey) -> identity_pb2.ApiKey:
    return identity_pb2.ApiKey(
        key_id=key.key_id,
        organisation_id=key.organisation_id,
        display_name=key.display_name,
        permissions=key.permissions,
        prefix=key.prefix,
        create_time=timestamp(key.create_time),
        expire_time=timestamp(key.expire_time),
        use_time=timestamp(key.use_time),
        revoke_time=timestamp(key.revoke_time),
    )
