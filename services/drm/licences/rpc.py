"""LicencesService: the contract, put in terms of licences."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

import grpc
from reelmesh.drm.v1 import events_pb2, licences_service_pb2_grpc
from reelmesh.drm.v1 import licences_service_pb2 as api

from services.drm.domain import CLEAR_KEY
from services.drm.licences import answers, clearkey, messages, refusals, store
from services.drm.licences.asked import Asked, Sent
from services.drm.licences.granting import Granting
from services.drm.licences.knowledge import Knowledge
from services.drm.licences.policy import FIRST_POLICY, LicencePolicy, SecurityLevel
from services.kit import events
from services.kit.clock import Clock, timestamp
from services.kit.database import Database, Tx, after_commit
from services.kit.errors import RPC_DOMAIN, Refusal
from services.kit.pagination import page_of
from services.kit.server import current_call

Context = grpc.aio.ServicerContext[Any, Any]

_JSON: Final = "application/json"


class LicencesServicer(licences_service_pb2_grpc.LicencesServiceServicer):
    """Serves `reelmesh.drm.v1.LicencesService`."""

    def __init__(self, database: Database, clock: Clock, granting: Granting, knowledge: Knowledge) -> None:
        self._database = database
        self._clock = clock
        self._granting = granting
        self._knowledge = knowledge

    async def AcquireClearKeyLicence(
        self, request: api.AcquireClearKeyLicenceRequest, context: Context
    ) -> api.AcquireClearKeyLicenceResponse:
        """A Clear Key licence for a browser."""
        sent = Sent.by_call(request.ticket, request.package_id, request.challenge)
        return api.AcquireClearKeyLicenceResponse(licence=(await self.clear_key(sent)).http_body())

    async def clear_key(self, sent: Sent) -> answers.Reply:
        """Answers a browser."""
        return await answers.answered(lambda: self._clear_key(sent))

    async def _clear_key(self, sent: Sent) -> answers.Reply:
        wanted = clearkey.read(sent.challenge)
        asked = Asked(
            ticket=sent.ticket,
            package_id=sent.package_id,
            key_ids=wanted.key_ids,
            key_system=CLEAR_KEY,
            security_level=SecurityLevel.SOFTWARE,
            renewal_of=wanted.renewal_of,
            address=sent.client.address,
            user_agent=sent.client.user_agent,
            proof=sent.proof,
        )
        grant = await self._granting.granted(asked)
        await self._granting.issued(grant)
        return answers.Reply(clearkey.written(grant.keys, grant.licence_id, grant.policy.renew_after), _JSON)

    async def GetLicencePolicy(
        self, request: api.GetLicencePolicyRequest, context: Context
    ) -> api.GetLicencePolicyResponse:
        """The organisation's policy."""
        async with self._database.transaction() as tx:
            kept = await store.newest_policy(tx, current_call().organisation_id)
        return api.GetLicencePolicyResponse(policy=messages.policy_message(_policy(kept), kept))

    async def UpdateLicencePolicy(
        self, request: api.UpdateLicencePolicyRequest, context: Context
    ) -> api.UpdateLicencePolicyResponse:
        """Makes a version, if anything changes."""
        organisation_id = current_call().organisation_id
        async with self._database.transaction() as tx:
            kept = await store.newest_policy(tx, organisation_id, for_update=True)
            before = _policy(kept)
            if request.policy.etag not in {"", str(before.version)}:
                raise Refusal(
                    grpc.StatusCode.ABORTED,
                    "ETAG_MISMATCH",
                    "the licence policy changed since you read it; read it again",
                    domain=RPC_DOMAIN,
                    metadata={"etag": str(before.version)},
                )
            after = messages.changed(before, request.policy, _paths(request))
            if wrong := after.contradiction():
                raise refusals.policy_invalid(*wrong)
            if after != before:
                after = replace(after, version=before.version + 1)
                kept = await self._kept(tx, organisation_id, after)
        return api.UpdateLicencePolicyResponse(policy=messages.policy_message(after, kept))

    async def _kept(self, tx: Tx, organisation_id: str, policy: LicencePolicy) -> store.KeptPolicy:
        principal = current_call().principal
        new = store.KeptPolicy(
            organisation_id,
            policy.version,
            messages.packed(policy),
            principal.name if principal else "",
            self._clock.now(),
        )
        await store.add_policy(tx, new)
        event = events_pb2.LicencePolicyUpdated(
            organisation_id=organisation_id, policy=messages.policy_message(policy, new)
        )
        await events.announce(tx, event)
        after_commit(tx, lambda: self._knowledge.learn(organisation_id, policy))
        return new

    async def ListLicencePolicyVersions(
        self, request: api.ListLicencePolicyVersionsRequest, context: Context
    ) -> api.ListLicencePolicyVersionsResponse:
        """All versions, newest first."""
        part = page_of(request)
        if part.after == "0":
            return api.ListLicencePolicyVersionsResponse()
        before = int(part.after) if part.after.isdecimal() else None
        async with self._database.transaction() as tx:
            found = list(await store.policy_page(tx, current_call().organisation_id, part, before))
        shown = [messages.policy_message(messages.kept_policy(kept), kept) for kept in found[: part.size]]
        if len(found) < part.size:
            shown.append(messages.policy_message(FIRST_POLICY, None))
            return api.ListLicencePolicyVersionsResponse(policies=shown)
        return api.ListLicencePolicyVersionsResponse(
            policies=shown, next_page_token=part.next_token(str(shown[-1].version))
        )

    async def ListLicences(self, request: api.ListLicencesRequest, context: Context) -> api.ListLicencesResponse:
        """Licences that were issued, newest first."""
        part = page_of(request)
        _storable("viewer_id", request.viewer_id)
        async with self._database.transaction() as tx:
            found = await store.licence_page(
                tx,
                current_call().organisation_id,
                part,
                session_id=request.session_id,
                viewer_id=request.viewer_id,
                device_id=request.device_id,
                package_id=request.package_id,
            )
        shown = [messages.licence(row) for row in found[: part.size]]
        token = part.next_token(shown[-1].licence_id) if len(found) > part.size else ""
        return api.ListLicencesResponse(licences=shown, next_page_token=token)

    async def ListOfflineLicences(
        self, request: api.ListOfflineLicencesRequest, context: Context
    ) -> api.ListOfflineLicencesResponse:
        """Offline licences, newest first."""
        part = page_of(request)
        _storable("viewer_id", request.viewer_id)
        async with self._database.transaction() as tx:
            found = await store.offline_page(
                tx,
                current_call().organisation_id,
                part,
                viewer_id=request.viewer_id,
                device_id=request.device_id,
            )
        shown = [messages.offline_licence(kept) for kept in found[: part.size]]
        token = part.next_token(shown[-1].licence_id) if len(found) > part.size else ""
        return api.ListOfflineLicencesResponse(licences=shown, next_page_token=token)

    async def RevokeOfflineLicence(
        self, request: api.RevokeOfflineLicenceRequest, context: Context
    ) -> api.RevokeOfflineLicenceResponse:
        """Revokes an offline licence; this process refuses it from the moment of the commit."""
        call, now = current_call(), self._clock.now()
        async with self._database.transaction() as tx:
            before = await store.offline_licence(tx, call.organisation_id, request.licence_id)
            if before is None:
                raise refusals.licence_not_found(request.licence_id)
            after = before if before.revoke_time else replace(before, revoke_time=now)
            if after is not before:
                await store.revoke_offline(tx, request.licence_id, now)
                event = events_pb2.OfflineLicenceRevoked(
                    licence_id=after.licence_id,
                    organisation_id=after.organisation_id,
                    session_id=after.session_id,
                    package_id=after.package_id,
                    viewer_id=after.viewer_id,
                    device_id=after.device_id,
                    author=call.principal.name if call.principal else "",
                    revoke_time=timestamp(now),
                )
                await events.announce(tx, event)
                after_commit(tx, lambda: self._knowledge.revoke(after))
        return api.RevokeOfflineLicenceResponse(licence=messages.offline_licence(after))


def _policy(kept: store.KeptPolicy | None) -> LicencePolicy:
    return FIRST_POLICY if kept is None else messages.kept_policy(kept)


def _paths(request: api.UpdateLicencePolicyRequest) -> list[str]:
    paths = list(request.update_mask.paths) or list(messages.changeable())
    for path in paths:
        if path not in messages.changeable():
            message = f"the fields that can be changed are {', '.join(messages.changeable())}"
            raise Refusal(
                grpc.StatusCode.INVALID_ARGUMENT,
                "REQUEST_INVALID",
                message,
                domain=RPC_DOMAIN,
                fields=[("update_mask", message)],
            )
    return paths


def _storable(field: str, text: str) -> None:
    """Postgres keeps no NUL."""
    if "\0" in text:
        message = "leave out the character U+0000"
        raise Refusal(
            grpc.StatusCode.INVALID_ARGUMENT, "REQUEST_INVALID", message, domain=RPC_DOMAIN, fields=[(field, message)]
        )
