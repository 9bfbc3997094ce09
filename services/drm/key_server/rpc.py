"""KeyServerService: the contract, put in terms of the domain."""

from __future__ import annotations

import asyncio
import secrets
from typing import Any

import grpc
from cryptography import x509
from reelmesh.drm.v1 import drm_pb2, events_pb2, key_server_service_pb2_grpc
from reelmesh.drm.v1 import key_server_service_pb2 as api

from services.drm.cpix import answering, delivery
from services.drm.cpix.faults import Fault
from services.drm.cpix.signatures import SigningKey
from services.drm.key_server import packager_requests, store
from services.drm.key_server.providing import Providing
from services.drm.key_server.refusals import packager_signature_invalid, refusal_of
from services.drm.key_server.store import KeyedContent, Packager
from services.drm.uses import Action
from services.drm.vault import Vault
from services.kit.clock import Clock, timestamp
from services.kit.database import Database, Tx
from services.kit.events import announce
from services.kit.idempotency import first_answer, remember
from services.kit.ids import is_id, new_id
from services.kit.pagination import page_of
from services.kit.server import current_call

Context = grpc.aio.ServicerContext[Any, Any]
_SIGNING_IV_BYTES = 16
_SIGNING = "SIGNING"


class KeyServerServicer(key_server_service_pb2_grpc.KeyServerServiceServicer):
    """Serves `reelmesh.drm.v1.KeyServerService`.

    Args:
        signer: signs answers to signed documents; None: nobody does.
    """

    def __init__(
        self,
        database: Database,
        vault: Vault,
        clock: Clock,
        signer: tuple[x509.Certificate, SigningKey] | None = None,
    ) -> None:
        self._database = database
        self._vault = vault
        self._clock = clock
        self._signer = signer
        self._providing = Providing(vault, clock)

    async def ProvideCpixKeys(
        self, request: api.ProvideCpixKeysRequest, context: Context
    ) -> api.ProvideCpixKeysResponse:
        """Answers a CPIX document. What takes time with large ones runs beside the loop."""
        organisation_id, now = current_call().organisation_id, self._clock.now()
        try:
            asked = await asyncio.to_thread(answering.read, request.document, request.speke_version)
            async with self._database.transaction() as tx:
                if asked.signed:
                    trusted = await store.signing_certificates(tx, organisation_id)
                    await asyncio.to_thread(answering.verify, asked, trusted)
                keys = await self._providing.for_cpix(tx, organisation_id, asked, _actor())
                # Before the commit: keys that cannot be given are not announced as given.
                answer = await asyncio.to_thread(answering.answer, asked, keys, now, self._signer)
        except Fault as fault:
            raise refusal_of(fault) from None
        return api.ProvideCpixKeysResponse(document=answer)

    async def ProvidePackagerKeys(
        self, request: api.ProvidePackagerKeysRequest, context: Context
    ) -> api.ProvidePackagerKeysResponse:
        """Answers a signed request of Shaka Packager."""
        async with self._database.transaction() as tx:
            signer = await store.packager(tx, request.signer) if is_id("pkr", request.signer) else None
            if signer is None:
                raise packager_signature_invalid()
            key = await self._signing_key(tx, signer)
            if not packager_requests.signature_fits(request.request, request.signature, key, signer.signing_iv):
                raise packager_signature_invalid()
            asked = packager_requests.read(request.request)
            actor = f"packager/{signer.packager_id}"
            keys = await self._providing.for_packager(tx, signer.organisation_id, asked, actor)
        return api.ProvidePackagerKeysResponse(response=packager_requests.answer(asked, keys))

    async def CreatePackager(self, request: api.CreatePackagerRequest, context: Context) -> api.CreatePackagerResponse:
        """Makes a packager and shows its key, once."""
        organisation_id, now = current_call().organisation_id, self._clock.now()
        async with self._database.transaction() as tx:
            if earlier := await first_answer(tx, organisation_id, request, api.CreatePackagerResponse):
                return earlier
            if request.signing_certificate:
                try:
                    delivery.usable(request.signing_certificate, now)
                except Fault as fault:
                    raise refusal_of(fault) from None
            packager = Packager(
                packager_id=new_id("pkr"),
                organisation_id=organisation_id,
                display_name=request.display_name,
                signing_iv=secrets.token_bytes(_SIGNING_IV_BYTES),
                signing_certificate=request.signing_certificate,
                create_time=now,
            )
            await store.add_packager(tx, packager)
            key = await self._signing_key(tx, packager)
            await announce(
                tx,
                events_pb2.PackagerCreated(
                    organisation_id=organisation_id,
                    packager_id=packager.packager_id,
                    actor=_actor(),
                    create_time=timestamp(now),
                ),
            )
            answer = api.CreatePackagerResponse(packager=_packager(packager))
            await remember(tx, organisation_id, request, answer)
        answer.signing_key, answer.signing_iv = key, packager.signing_iv
        return answer

    async def ListPackagers(self, request: api.ListPackagersRequest, context: Context) -> api.ListPackagersResponse:
        """The organisation's packagers."""
        part = page_of(request)
        async with self._database.transaction() as tx:
            found = await store.packagers_page(tx, current_call().organisation_id, part)
        shown = found[: part.size]
        return api.ListPackagersResponse(
            packagers=[_packager(packager) for packager in shown],
            next_page_token=part.next_token(shown[-1].packager_id) if len(found) > part.size else "",
        )

    async def DeletePackager(self, request: api.DeletePackagerRequest, context: Context) -> api.DeletePackagerResponse:
        """Removes a packager."""
        organisation_id = current_call().organisation_id
        async with self._database.transaction() as tx:
            if await store.remove_packager(tx, organisation_id, request.packager_id):
                await store.remove_keys(tx, organisation_id, request.packager_id)
                await announce(
                    tx,
                    events_pb2.PackagerDeleted(
                        organisation_id=organisation_id,
                        packager_id=request.packager_id,
                        actor=_actor(),
                        delete_time=timestamp(self._clock.now()),
                    ),
                )
        return api.DeletePackagerResponse()

    async def ListKeyedContents(
        self, request: api.ListKeyedContentsRequest, context: Context
    ) -> api.ListKeyedContentsResponse:
        """What the organisation's packagers got keys for."""
        part = page_of(request)
        async with self._database.transaction() as tx:
            found = await store.contents_page(tx, current_call().organisation_id, part)
        shown = found[: part.size]
        return api.ListKeyedContentsResponse(
            keyed_contents=[_content(content) for content in shown],
            next_page_token=part.next_token(shown[-1].keyed_content_id) if len(found) > part.size else "",
        )

    async def DeleteKeyedContent(
        self, request: api.DeleteKeyedContentRequest, context: Context
    ) -> api.DeleteKeyedContentResponse:
        """Removes a content with its keys."""
        organisation_id = current_call().organisation_id
        async with self._database.transaction() as tx:
            gone = await store.remove_content(tx, organisation_id, request.keyed_content_id)
            if gone is not None:
                key_ids = await store.remove_keys(tx, organisation_id, gone.keyed_content_id)
                await self._providing.note(tx, gone, Action.DESTROYED, _actor(), key_ids)
                await announce(
                    tx,
                    events_pb2.KeyedContentDeleted(
                        organisation_id=organisation_id,
                        keyed_content_id=gone.keyed_content_id,
                        content_id=gone.content_id,
                        actor=_actor(),
                        delete_time=timestamp(self._clock.now()),
                    ),
                )
        return api.DeleteKeyedContentResponse()

    async def _signing_key(self, tx: Tx, packager: Packager) -> bytes:
        """The 32 bytes that a packager signs with, made at the first call."""
        (key,) = await self._vault.keys_for(tx, packager.organisation_id, packager.packager_id, [_SIGNING])
        return key.key + key.iv


def _actor() -> str:
    principal = current_call().principal
    return principal.name if principal else ""


def _packager(packager: Packager) -> drm_pb2.Packager:
    return drm_pb2.Packager(
        packager_id=packager.packager_id,
        display_name=packager.display_name,
        signing_certificate_sha256=packager.certificate_sha256,
        create_time=timestamp(packager.create_time),
    )


def _content(content: KeyedContent) -> api.KeyedContent:
    return api.KeyedContent(
        keyed_content_id=content.keyed_content_id,
        content_id=content.content_id,
        protocol=drm_pb2.KeyProtocol.ValueType(content.protocol),
        create_time=timestamp(content.create_time),
    )
