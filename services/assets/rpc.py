"""The assets contract."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any, Final

import grpc
from google.protobuf.json_format import ParseDict
from reelmesh.assets.v1 import assets_pb2, assets_service_pb2_grpc
from reelmesh.assets.v1 import assets_service_pb2 as api
from reelmesh.upload.v1 import upload_pb2

from services.assets import holds, store
from services.assets.changes import Changes
from services.assets.domain import Asset, Stage, StageProgress, StageState, State, held, not_found, updatable
from services.assets.watch import Watchers
from services.kit.clock import timestamp
from services.kit.database import Database
from services.kit.idempotency import first_answer, remember
from services.kit.pagination import page_of
from services.kit.server import current_call

WAIT_FOR_COMMIT: Final = 30.0
"""Seconds that WatchAsset waits for an asset whose upload is not committed yet."""

_ENDED: Final = frozenset({State.READY, State.FAILED, State.DELETED, State.WITHHELD, State.KEPT})
Context = grpc.aio.ServicerContext[Any, Any]


class AssetsRpc(assets_service_pb2_grpc.AssetsServiceServicer):
    """Answers about assets of the caller's organisation."""

    def __init__(
        self, database: Database, changes: Changes, watchers: Watchers, *, wait_for_commit: float = WAIT_FOR_COMMIT
    ) -> None:
        self._database = database
        self._changes = changes
        self._watchers = watchers
        self._wait_for_commit = wait_for_commit

    async def GetAsset(self, request: api.GetAssetRequest, context: Context) -> api.GetAssetResponse:
        """Returns one asset."""
        async with self._database.transaction() as tx:
            asset = _owned(await store.find(tx, request.asset_id), request.asset_id)
        return api.GetAssetResponse(asset=self._resource(asset))

    async def ListAssets(self, request: api.ListAssetsRequest, context: Context) -> api.ListAssetsResponse:
        """Returns a page of assets, newest first."""
        part = page_of(request)
        async with self._database.transaction() as tx:
            found = await store.page(tx, current_call().organisation_id, request.state, part)
        shown = found[: part.size]
        return api.ListAssetsResponse(
            assets=[self._resource(asset) for asset in shown],
            next_page_token=part.next_token(shown[-1].asset_id) if len(found) > part.size else "",
        )

    async def WatchAsset(
        self, request: api.WatchAssetRequest, context: Context
    ) -> AsyncIterator[api.WatchAssetResponse]:
        """Sends the asset now and at each change, until it is ready, kept, failed or deleted."""
        async with aclosing(self._watchers.watch(request.asset_id)) as states:
            asset = await self._existing(states, request)
            yield api.WatchAssetResponse(asset=self._resource(asset))
            while asset.state not in _ENDED:
                latest = await anext(states)
                asset = latest or asset
                yield api.WatchAssetResponse(asset=self._resource(asset))

    async def _existing(self, states: AsyncIterator[Asset | None], request: api.WatchAssetRequest) -> Asset:
        """The asset as soon as it exists; another organisation's does not."""
        organisation_id = current_call().organisation_id
        try:
            async with asyncio.timeout(self._wait_for_commit):
                async for asset in states:
                    if asset is not None and asset.organisation_id == organisation_id:
                        return asset
                    if not request.wait_for_commit:
                        break
        except TimeoutError:
            pass
        raise not_found(request.asset_id)

    async def UpdateAsset(self, request: api.UpdateAssetRequest, context: Context) -> api.UpdateAssetResponse:
        """Changes the title."""
        updatable(list(request.update_mask.paths))
        organisation_id = current_call().organisation_id
        async with self._database.transaction() as tx:
            if answer := await first_answer(tx, organisation_id, request, api.UpdateAssetResponse):
                return answer
            asset = _owned(await store.find(tx, request.asset.asset_id, for_update=True), request.asset.asset_id)
            renamed = asset.checked(request.asset.etag).renamed(request.asset.title)
            answer = api.UpdateAssetResponse(asset=self._resource(await self._changes.keep(tx, asset, renamed)))
            await remember(tx, organisation_id, request, answer)
            return answer

    async def DeleteAsset(self, request: api.DeleteAssetRequest, context: Context) -> api.DeleteAssetResponse:
        """Deletes an asset."""
        async with self._database.transaction() as tx:
            asset = _owned(await store.find(tx, request.asset_id, for_update=True), request.asset_id)
            if hold_id := await holds.standing(tx, asset.asset_id):
                raise held(asset.asset_id, hold_id)
            deleted = await self._changes.keep(tx, asset, asset.deleted(self._changes.now()))
        return api.DeleteAssetResponse(asset=self._resource(deleted))

    def _resource(self, asset: Asset) -> assets_pb2.Asset:
        resource = assets_pb2.Asset(
            asset_id=asset.asset_id,
            organisation_id=asset.organisation_id,
            title=asset.title,
            state=assets_pb2.AssetState.ValueType(asset.state),
            stages=[self._stage(asset, stage) for stage in asset.stages],
            master=assets_pb2.Master(filename=asset.filename, size_bytes=asset.size_bytes, sha256=asset.sha256),
            package_id=asset.package_id,
            create_time=timestamp(asset.commit_time),
            update_time=timestamp(asset.update_time),
            etag=asset.etag,
            purpose=upload_pb2.UploadPurpose.ValueType(asset.purpose),
        )
        if asset.media is not None:
            ParseDict(asset.media, resource.media, ignore_unknown_fields=True)
        if failure := asset.standing_failure:
            resource.failure.CopyFrom(
                assets_pb2.Failure(
                    stage=assets_pb2.Stage.ValueType(failure.stage), reason=failure.reason, message=failure.message
                )
            )
        return resource

    def _stage(self, asset: Asset, progress: StageProgress) -> assets_pb2.StageProgress:
        fraction = 1.0 if progress.state is StageState.DONE else 0.0
        if progress.state is StageState.RUNNING and progress.stage is Stage.TRANSCODE:
            fraction = self._watchers.fraction(asset.asset_id)
        return assets_pb2.StageProgress(
            stage=assets_pb2.Stage.ValueType(progress.stage),
            state=assets_pb2.StageState.ValueType(progress.state),
            fraction=fraction,
            start_time=timestamp(progress.start_time),
            end_time=timestamp(progress.end_time),
        )


def _owned(asset: Asset | None, asset_id: str) -> Asset:
    if asset is None or asset.organisation_id != current_call().organisation_id:
        raise not_found(asset_id)
    return asset
