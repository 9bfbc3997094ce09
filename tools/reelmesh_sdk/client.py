"""The client: one channel to the edge, one method for each thing a person does."""

from __future__ import annotations

import asyncio
import hashlib
import json
import mimetypes
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar
from urllib.parse import urlsplit

import grpc
import grpc.aio
from google.protobuf.duration_pb2 import Duration
from reelmesh.assets.v1 import assets_pb2, assets_service_pb2, assets_service_pb2_grpc
from reelmesh.compliance.v1 import (
    audit_log_service_pb2_grpc,
    notices_service_pb2_grpc,
    performers_service_pb2_grpc,
    productions_service_pb2_grpc,
    records_service_pb2_grpc,
    rights_service_pb2_grpc,
)
from reelmesh.drm.v1 import keys_service_pb2_grpc
from reelmesh.identity.v1 import accounts_service_pb2_grpc, api_keys_service_pb2_grpc, organisations_service_pb2_grpc
from reelmesh.payments.v1 import (
    entitlements_service_pb2_grpc,
    offers_service_pb2_grpc,
    payouts_service_pb2_grpc,
    plans_service_pb2_grpc,
    processor_accounts_service_pb2_grpc,
    promotions_service_pb2_grpc,
    subscriptions_service_pb2_grpc,
)
from reelmesh.policy.v1 import policy_pb2, policy_service_pb2, policy_service_pb2_grpc
from reelmesh.protection.v1 import (
    detections_service_pb2_grpc,
    hash_lists_service_pb2_grpc,
    holds_service_pb2_grpc,
    leaks_service_pb2_grpc,
    overlays_service_pb2_grpc,
    takedowns_service_pb2_grpc,
)
from reelmesh.upload.v1 import upload_pb2, upload_service_pb2, upload_service_pb2_grpc

from services.kit.errors import Refusal
from tools.reelmesh_sdk.errors import AssetFailed, Unreachable, limited_for, raised_by
from tools.reelmesh_sdk.master_file import Chunk, MasterFile
from tools.reelmesh_sdk.streams import Streams

CALL_SECONDS = 20.0
"""Deadline of a single call."""
COMPLETE_SECONDS = 900.0
"""Deadline of completing an upload: the server may have to read the whole file once more."""
PATIENCE_SECONDS = 120.0
"""How long an upload or a watch goes on without any progress before it gives up."""

_COME_TO_REST = frozenset({assets_pb2.ASSET_STATE_READY, assets_pb2.ASSET_STATE_WITHHELD, assets_pb2.ASSET_STATE_KEPT})
_MENDABLE = frozenset(
    {"OFFSET_MISMATCH", "CHUNK_CORRUPT", "WRITER_BUSY", "DEPENDENCY_UNAVAILABLE", "DRAINING", "RATE_LIMITED"}
)
_FINAL_UPLOADS = 50

_RETRIES = json.dumps(
    {
        "methodConfig": [
            # The stream of bytes is resumed by offset, not repeated.
            {"name": [{"service": "reelmesh.upload.v1.UploadService", "method": "WriteUpload"}]},
            {
                "name": [{}],
                "retryPolicy": {
                    "maxAttempts": 5,
                    "initialBackoff": "0.2s",
                    "maxBackoff": "2s",
                    "backoffMultiplier": 2,
                    "retryableStatusCodes": ["UNAVAILABLE"],
                },
            },
        ]
    }
)

Progress = Callable[[int, int], None]
"""Told (bytes sent, bytes of the whole file)."""
Answer = TypeVar("Answer")


class Client(Streams):
    """Speaks gRPC to the edge at `url` with an API key. To be used as an async context manager."""

    uploads: upload_service_pb2_grpc.UploadServiceAsyncStub
    assets: assets_service_pb2_grpc.AssetsServiceAsyncStub
    policy: policy_service_pb2_grpc.PolicyServiceAsyncStub
    accounts: accounts_service_pb2_grpc.AccountsServiceAsyncStub
    organisations: organisations_service_pb2_grpc.OrganisationsServiceAsyncStub
    api_keys: api_keys_service_pb2_grpc.ApiKeysServiceAsyncStub
    keys: keys_service_pb2_grpc.KeysServiceAsyncStub
    payouts: payouts_service_pb2_grpc.PayoutsServiceAsyncStub
    offers: offers_service_pb2_grpc.OffersServiceAsyncStub
    entitlements: entitlements_service_pb2_grpc.EntitlementsServiceAsyncStub
    promotions: promotions_service_pb2_grpc.PromotionsServiceAsyncStub
    subscriptions: subscriptions_service_pb2_grpc.SubscriptionsServiceAsyncStub
    processor_accounts: processor_accounts_service_pb2_grpc.ProcessorAccountsServiceAsyncStub
    plans: plans_service_pb2_grpc.PlansServiceAsyncStub
    performers: performers_service_pb2_grpc.PerformersServiceAsyncStub
    productions: productions_service_pb2_grpc.ProductionsServiceAsyncStub
    notices: notices_service_pb2_grpc.NoticesServiceAsyncStub
    leaks: leaks_service_pb2_grpc.LeaksServiceAsyncStub
    detections: detections_service_pb2_grpc.DetectionsServiceAsyncStub
    takedowns: takedowns_service_pb2_grpc.TakedownsServiceAsyncStub
    hash_lists: hash_lists_service_pb2_grpc.HashListsServiceAsyncStub

    async def __aenter__(self) -> Self:
        # Here, not in the constructor: a channel belongs to the event loop that runs when it is made.
        parts = urlsplit(self.url)
        secure = parts.scheme == "https"
        target = parts.netloc if parts.port else f"{parts.hostname}:{443 if secure else 80}"
        options = [
            ("grpc.service_config", _RETRIES),
            ("grpc.enable_http_proxy", 0),
            ("grpc.max_reconnect_backoff_ms", 2000),
        ]
        self._channel = (
            grpc.aio.secure_channel(target, grpc.ssl_channel_credentials(), options=options)
            if secure
            else grpc.aio.insecure_channel(target, options=options)
        )
        self.uploads = upload_service_pb2_grpc.UploadServiceStub(self._channel)
        self.assets = assets_service_pb2_grpc.AssetsServiceStub(self._channel)
        self.policy = policy_service_pb2_grpc.PolicyServiceStub(self._channel)
        self.accounts = accounts_service_pb2_grpc.AccountsServiceStub(self._channel)
        self.organisations = organisations_service_pb2_grpc.OrganisationsServiceStub(self._channel)
        self.api_keys = api_keys_service_pb2_grpc.ApiKeysServiceStub(self._channel)
        self.keys = keys_service_pb2_grpc.KeysServiceStub(self._channel)
        self.payouts = payouts_service_pb2_grpc.PayoutsServiceStub(self._channel)
        self.holds = holds_service_pb2_grpc.HoldsServiceStub(self._channel)
        self.hash_lists = hash_lists_service_pb2_grpc.HashListsServiceStub(self._channel)
        self.overlays = overlays_service_pb2_grpc.OverlaysServiceStub(self._channel)
        self.offers = offers_service_pb2_grpc.OffersServiceStub(self._channel)
        self.entitlements = entitlements_service_pb2_grpc.EntitlementsServiceStub(self._channel)
        self.promotions = promotions_service_pb2_grpc.PromotionsServiceStub(self._channel)
        self.subscriptions = subscriptions_service_pb2_grpc.SubscriptionsServiceStub(self._channel)
        self.processor_accounts = processor_accounts_service_pb2_grpc.ProcessorAccountsServiceStub(self._channel)
        self.plans = plans_service_pb2_grpc.PlansServiceStub(self._channel)
        self.audit_log = audit_log_service_pb2_grpc.AuditLogServiceStub(self._channel)
        self.performers = performers_service_pb2_grpc.PerformersServiceStub(self._channel)
        self.productions = productions_service_pb2_grpc.ProductionsServiceStub(self._channel)
        self.records = records_service_pb2_grpc.RecordsServiceStub(self._channel)
        self.notices = notices_service_pb2_grpc.NoticesServiceStub(self._channel)
        self.leaks = leaks_service_pb2_grpc.LeaksServiceStub(self._channel)
        self.detections = detections_service_pb2_grpc.DetectionsServiceStub(self._channel)
        self.takedowns = takedowns_service_pb2_grpc.TakedownsServiceStub(self._channel)
        self.rights = rights_service_pb2_grpc.RightsServiceStub(self._channel)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._channel.close(None)

    @property
    def metadata(self) -> tuple[tuple[str, str], ...]:
        """What every call carries, for calls on the stubs themselves."""
        return self._metadata

    async def _call(
        self, call: Callable[..., Awaitable[Answer]], request: object, seconds: float = CALL_SECONDS
    ) -> Answer:
        end = time.monotonic() + seconds
        while True:
            try:
                return await call(request, metadata=self._metadata, timeout=end - time.monotonic())
            except grpc.aio.AioRpcError as error:
                raised = raised_by(error, self.url)
                wait = limited_for(raised)
                # Nothing was done by a call that was one too many.
                if not wait or time.monotonic() + wait >= end:
                    raise raised from None
            await asyncio.sleep(wait)

    async def call(self, method: Callable[..., Awaitable[Answer]], request: object) -> Answer:
        """Calls a method of one of the stubs.

        Raises:
            Refusal: a server refused it.
            Unreachable: nobody answers.
        """
        return await self._call(method, request)

    # Uploads.

    async def upload_file(
        self,
        path: Path,
        title: str = "",
        on_progress: Progress | None = None,
        content_type: str = "",
        *,
        watermarking: upload_pb2.Watermarking.ValueType = upload_pb2.WATERMARKING_UNSPECIFIED,
        purpose: upload_pb2.UploadPurpose.ValueType = upload_pb2.UPLOAD_PURPOSE_UNSPECIFIED,
    ) -> upload_pb2.Upload:
        """Sends a file and commits it. An earlier, unfinished upload of the same unchanged file is resumed.

        Raises:
            Refusal: the server does not take it.
            Unreachable: the edge was away for longer than two minutes.
            OSError: the file cannot be read.
        """
        with MasterFile(path) as master:
            wanted = upload_service_pb2.CreateUploadRequest(
                size_bytes=master.size,
                title=title,
                content_type=content_type,
                watermarking=watermarking,
                purpose=purpose,
            )
            upload = await self._begin(path, wanted)
            if upload.state == upload_pb2.UPLOAD_STATE_RECEIVING:
                await self._send(upload, master, on_progress or _unwatched)
            digest = await asyncio.to_thread(master.sha256)
        return await self._completed(upload.upload_id, digest)

    async def _completed(self, upload_id: str, digest: str) -> upload_pb2.Upload:
        """Commits, over breaks: it may be repeated, and all bytes are there already."""
        request = upload_service_pb2.CompleteUploadRequest(upload_id=upload_id, sha256=digest)
        patience = time.monotonic() + PATIENCE_SECONDS
        while True:
            try:
                return (await self._call(self.uploads.CompleteUpload, request, COMPLETE_SECONDS)).upload
            except (Refusal, Unreachable) as error:
                mendable = isinstance(error, Unreachable) or error.reason in _MENDABLE
                if not mendable or time.monotonic() > patience:
                    raise
                await asyncio.sleep(0.5)

    async def _begin(self, path: Path, wanted: upload_service_pb2.CreateUploadRequest) -> upload_pb2.Upload:
        """Announces the file. The request id is derived from it, so that a second run meets the first one's upload."""
        real = path.resolve()
        request = upload_service_pb2.CreateUploadRequest(filename=real.name)
        request.MergeFrom(wanted)
        request.content_type = wanted.content_type or mimetypes.guess_type(real.name)[0] or ""
        # What nobody asked for is left out, so that uploads which an earlier version of this library began are gone on with.
        more = [one for one in (wanted.watermarking, -wanted.purpose) if one]
        asked = (str(real), wanted.size_bytes, real.stat().st_mtime_ns, wanted.title, request.content_type, *more)
        key = hashlib.sha256(repr(asked).encode()).hexdigest()[:40]
        for number in range(_FINAL_UPLOADS):
            request.request_id = f"file-{key}-{number}"
            created = (await self._call(self.uploads.CreateUpload, request)).upload
            upload = await self.get_upload(created.upload_id)
            if upload.state == upload_pb2.UPLOAD_STATE_RECEIVING:
                return upload
        request.request_id = f"file-{uuid.uuid4()}"
        return (await self._call(self.uploads.CreateUpload, request)).upload

    async def get_upload(self, upload_id: str) -> upload_pb2.Upload:
        """One upload, with the offset at which to go on."""
        request = upload_service_pb2.GetUploadRequest(upload_id=upload_id)
        return (await self._call(self.uploads.GetUpload, request)).upload

    async def _send(self, upload: upload_pb2.Upload, master: MasterFile, on_progress: Progress) -> None:
        offset, furthest, patience = upload.received_bytes, -1, time.monotonic() + PATIENCE_SECONDS
        pause = 0.1
        while offset < master.size:
            on_progress(offset, master.size)
            if offset > furthest:
                furthest, patience, pause = offset, time.monotonic() + PATIENCE_SECONDS, 0.1
            try:
                offset = await self._write_from(upload.upload_id, offset, master, on_progress)
            except (Refusal, Unreachable) as error:
                wait = max(pause, limited_for(error))
                mendable = isinstance(error, Unreachable) or error.reason in _MENDABLE
                if not mendable or time.monotonic() + wait > patience + pause:
                    raise
                await asyncio.sleep(wait)
                pause = min(pause * 2, 2.0)
                offset = await self._offset_after_break(upload.upload_id, patience)
        on_progress(master.size, master.size)

    async def _offset_after_break(self, upload_id: str, patience: float) -> int:
        while True:
            try:
                return (await self.get_upload(upload_id)).received_bytes
            except (Refusal, Unreachable) as error:
                mendable = isinstance(error, Unreachable) or error.reason in _MENDABLE
                if not mendable or time.monotonic() > patience:
                    raise
                await asyncio.sleep(0.5)

    async def _write_from(self, upload_id: str, offset: int, master: MasterFile, on_progress: Progress) -> int:
        """One stream from `offset` to the end of the file; returns how far the server has it."""
        unreadable: list[Exception] = []

        async def requests() -> AsyncIterator[upload_service_pb2.WriteUploadRequest]:
            try:
                async for chunk in _read_ahead(master, offset):
                    request = upload_service_pb2.WriteUploadRequest(crc32c=chunk.crc32c)
                    request.chunk.data = chunk.data  # in place, which saves a copy
                    if chunk.offset == offset:
                        request.upload_id, request.offset = upload_id, offset
                    yield request
                    on_progress(chunk.offset + len(chunk.data), master.size)
            except (OSError, EOFError) as error:
                unreadable.append(error)  # gRPC only knows that the stream of requests broke off
                raise

        call = self.uploads.WriteUpload(requests(), metadata=self._metadata)
        try:
            answer = await call
        except grpc.aio.AioRpcError as error:
            raise raised_by(error, self.url) from None
        except asyncio.CancelledError:
            if unreadable:
                raise unreadable[0] from None
            raise
        finally:
            call.cancel()
        return int(answer.upload.received_bytes)

    async def cancel_upload(self, upload_id: str) -> upload_pb2.Upload:
        """Gives an unfinished upload up."""
        request = upload_service_pb2.CancelUploadRequest(upload_id=upload_id)
        return (await self._call(self.uploads.CancelUpload, request)).upload

    # Assets.

    async def get_asset(self, asset_id: str) -> assets_pb2.Asset:
        """One asset."""
        request = assets_service_pb2.GetAssetRequest(asset_id=asset_id)
        return (await self._call(self.assets.GetAsset, request)).asset

    async def list_assets(
        self, page_size: int = 50, state: assets_pb2.AssetState.ValueType = assets_pb2.ASSET_STATE_UNSPECIFIED
    ) -> list[assets_pb2.Asset]:
        """The newest titles of the organisation; its newest assets in one state, evidence as well, if one is asked for."""
        request = assets_service_pb2.ListAssetsRequest(page_size=page_size, state=state)
        return list((await self._call(self.assets.ListAssets, request)).assets)

    async def watch_asset(self, asset_id: str) -> AsyncIterator[assets_pb2.Asset]:
        """The asset now and at each change, until it is ready, withheld, kept, failed, held for review or deleted; survives breaks of the connection.

        Raises:
            Refusal: there is no such asset.
            Unreachable: the edge was away for longer than two minutes.
        """
        request = assets_service_pb2.WatchAssetRequest(asset_id=asset_id, wait_for_commit=True)
        patience = time.monotonic() + PATIENCE_SECONDS
        while True:
            try:
                async for answer in self.assets.WatchAsset(request, metadata=self._metadata):
                    patience = time.monotonic() + PATIENCE_SECONDS
                    yield answer.asset
                    if answer.asset.state != assets_pb2.ASSET_STATE_PROCESSING:
                        return
            except grpc.aio.AioRpcError as error:
                raised = raised_by(error, self.url)
                timed_out = error.code() == grpc.StatusCode.DEADLINE_EXCEEDED
                mendable = timed_out or isinstance(raised, Unreachable) or raised.reason in _MENDABLE
                wait = max(0.5, limited_for(raised))
                if not mendable or time.monotonic() + wait > patience + 0.5:
                    raise raised from None
                await asyncio.sleep(wait)
            else:
                await asyncio.sleep(0.5)

    async def wait_for_asset(
        self, asset_id: str, on_change: Callable[[assets_pb2.Asset], None] | None = None
    ) -> assets_pb2.Asset:
        """The asset once it can be played, or could be if its records were complete (WITHHELD), or is evidence and was checked (KEPT).

        Raises:
            AssetFailed: the pipeline gave it up or holds it for review, or it was deleted.
            Refusal, Unreachable: as `watch_asset`.
        """
        asset = assets_pb2.Asset()
        async for asset in self.watch_asset(asset_id):
            if on_change is not None:
                on_change(asset)
        if asset.state not in _COME_TO_REST:
            raise AssetFailed(asset)
        return asset

    # Playback.

    async def create_playback(
        self, asset_id: str, viewer_id: str = "", lifetime_seconds: int | None = None
    ) -> policy_service_pb2.CreatePlaybackResponse:
        """Opens a session: URLs for a player, and a watch page with a one-time code."""
        request = policy_service_pb2.CreatePlaybackRequest(
            request_id=str(uuid.uuid4()),
            asset_id=asset_id,
            viewer_id=viewer_id,
            lifetime=None if lifetime_seconds is None else Duration(seconds=lifetime_seconds),
        )
        return await self._call(self.policy.CreatePlayback, request)

    async def heartbeat(self, playback: policy_pb2.Playback) -> float:
        """Says that a playback still plays. Returns the seconds after which to say so again.

        Raises:
            Refusal: TOO_MANY_STREAMS while other screens have all places, or whatever ended the playback.
            Unreachable: the edge was away.
        """
        ticket = urlsplit(playback.dash_url).path.split("/")[2]
        request = policy_service_pb2.SendHeartbeatRequest(ticket=ticket, package_id=playback.package_id)
        return (await self._call(self.policy.SendHeartbeat, request)).interval.ToTimedelta().total_seconds()

    async def revoke(self, session_id: str, comment: str = "") -> policy_pb2.PlaybackSession:
        """Ends a session at once."""
        request = policy_service_pb2.RevokePlaybackSessionRequest(session_id=session_id, comment=comment)
        return (await self._call(self.policy.RevokePlaybackSession, request)).session


def _unwatched(_sent: int, _total: int) -> None:
    """Progress that nobody looks at."""


async def _read_ahead(master: MasterFile, offset: int) -> AsyncIterator[Chunk]:
    """Chunks from `offset` on; the next one is read while the one before is on its way."""
    reading = asyncio.create_task(asyncio.to_thread(master.chunk_at, offset))
    try:
        while (chunk := await reading) is not None:
            reading = asyncio.create_task(asyncio.to_thread(master.chunk_at, chunk.offset + len(chunk.data)))
            yield chunk
    finally:
        # A thread cannot be interrupted; it must have let go of the file before anyone reads again.
        await asyncio.wait([reading])
