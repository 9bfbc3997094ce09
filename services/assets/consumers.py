"""What other services announce becomes facts of an asset."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from nats.aio.client import Client as NatsClient
from reelmesh.assets.v1 import assets_pb2
from reelmesh.compliance.v1 import events_pb2 as compliance
from reelmesh.packaging.v1 import events_pb2 as packaging
from reelmesh.protection.v1 import events_pb2 as protection
from reelmesh.transcode.v1 import events_pb2 as transcode
from reelmesh.upload.v1 import events_pb2 as upload

from services.assets import holds
from services.assets.changes import Changes
from services.assets.domain import Asset, Consent, Failure, Purpose, Stage
from services.kit.database import Database, Tx
from services.kit.events import Consumer, Handler


def consumer(database: Database, bus: NatsClient, changes: Changes) -> Consumer:
    """Listens to everything that tells how far an asset is."""

    def noting(event_type: type[Message], fact: Callable[[Asset, Any], Asset]) -> Handler:
        async def handle(tx: Tx, data: bytes) -> None:
            event: Any = event_type.FromString(data)
            known = await changes.known(tx, event.asset_id, event.organisation_id)
            await changes.keep(tx, known, fact(known, event))

        return handle

    facts: dict[type[Message], Callable[[Asset, Any], Asset]] = {
        upload.UploadCommitted: _committed,
        protection.MasterDelayed: _delayed,
        protection.MasterHeld: _held,
        protection.MasterCleared: _cleared,
        transcode.MasterProbed: _probed,
        transcode.TranscodeCompleted: _transcoded,
        transcode.TranscodeFailed: _transcode_failed,
        packaging.PackagingStarted: _packaging,
        packaging.PackagePublished: _published,
        packaging.PackagingFailed: _packaging_failed,
        compliance.ConsentChanged: _consented,
    }
    handlers = {event_type: noting(event_type, fact) for event_type, fact in facts.items()}
    return Consumer("assets", database, bus, {**handlers, **holds.HANDLERS})


def _committed(asset: Asset, event: upload.UploadCommitted) -> Asset:
    return asset.committed(
        upload_id=event.upload_id,
        filename=event.filename,
        title=event.title or event.filename,
        size_bytes=event.size_bytes,
        sha256=event.sha256,
        commit_time=_moment(event.commit_time),
        purpose=event.purpose or Purpose.TITLE,
    )


def _delayed(asset: Asset, event: protection.MasterDelayed) -> Asset:
    return asset.delayed(_moment(event.delay_time))


def _held(asset: Asset, event: protection.MasterHeld) -> Asset:
    """What the check found is nobody's business here."""
    return asset.held(_moment(event.hold_time))


def _cleared(asset: Asset, event: protection.MasterCleared) -> Asset:
    return asset.cleared(_moment(event.clear_time))


def _probed(asset: Asset, event: transcode.MasterProbed) -> Asset:
    media = assets_pb2.Media(
        duration=event.duration,
        width=event.width,
        height=event.height,
        frame_rate=event.frame_rate,
        container=event.container,
        video_codec=event.video_codec,
        dynamic_range=event.dynamic_range,
        audio_tracks=[
            assets_pb2.AudioTrack(codec=track.codec, channels=track.channels, language=track.language)
            for track in event.audio_tracks
        ],
        subtitle_tracks=[
            assets_pb2.SubtitleTrack(codec=track.codec, language=track.language, converted=track.used)
            for track in event.subtitle_tracks
        ],
    )
    return asset.probed(MessageToDict(media, preserving_proto_field_name=True), _moment(event.probe_time))


def _transcoded(asset: Asset, event: transcode.TranscodeCompleted) -> Asset:
    return asset.transcoded(_moment(event.complete_time))


def _transcode_failed(asset: Asset, event: transcode.TranscodeFailed) -> Asset:
    stage = Stage.PROBE if event.while_probing else Stage.TRANSCODE
    return asset.failed(Failure(stage, event.reason, event.message, _moment(event.fail_time)))


def _packaging(asset: Asset, event: packaging.PackagingStarted) -> Asset:
    return asset.packaging(_moment(event.start_time))


def _published(asset: Asset, event: packaging.PackagePublished) -> Asset:
    return asset.published(event.package_id, _moment(event.publish_time))


def _packaging_failed(asset: Asset, event: packaging.PackagingFailed) -> Asset:
    return asset.failed(Failure(Stage.PACKAGE, event.reason, event.message, _moment(event.fail_time)))


def _consented(asset: Asset, event: compliance.ConsentChanged) -> Asset:
    # Whoever records another organisation's asset changes nothing about it.
    if event.organisation_id != asset.organisation_id:
        return asset
    return asset.consented(Consent(event.state), _moment(event.change_time))


def _moment(stamp: Timestamp) -> datetime:
    return stamp.ToDatetime(tzinfo=UTC)
