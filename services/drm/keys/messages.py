"""Rows as the contract shows them."""

from __future__ import annotations

from collections.abc import Mapping

from reelmesh.drm.v1 import keys_service_pb2 as api

from services.drm.emergency.store import Title
from services.drm.escrow.store import Escrow
from services.drm.rotation.domain import Rotation, TitleState
from services.drm.rotation.store import KekRecord
from services.drm.uses import Use
from services.kit.clock import timestamp


def kek(record: KekRecord, *, escrowed: bool) -> api.KeyEncryptionKey:
    """A key-encryption key."""
    return api.KeyEncryptionKey(
        kek_id=record.kek_id,
        organisation_id=record.organisation_id,
        generation=record.generation,
        root_id=record.root_id,
        content_keys=record.content_keys,
        create_time=timestamp(record.create_time),
        retire_time=timestamp(record.retire_time),
        destroy_time=timestamp(record.destroy_time),
        escrowed=escrowed,
    )


def rotation(one: Rotation, counts: Mapping[tuple[str, int], int]) -> api.Rotation:
    """A rotation; `counts` are its titles by state."""
    by_state = {state: counts.get((one.rotation_id, int(state)), 0) for state in TitleState}
    return api.Rotation(
        rotation_id=one.rotation_id,
        organisation_id=one.organisation_id,
        kind=api.RotationKind.ValueType(one.kind),
        state=api.RotationState.ValueType(one.state),
        reason=one.reason,
        actor=one.actor,
        kek_id=one.kek_id,
        keys_total=one.keys_total,
        keys_done=one.keys_done,
        titles_total=sum(by_state.values()),
        titles_done=by_state[TitleState.REPLACED],
        titles_failed=by_state[TitleState.FAILED],
        titles_skipped=by_state[TitleState.SKIPPED],
        create_time=timestamp(one.create_time),
        rewrap_time=timestamp(one.rewrap_time),
        first_title_time=timestamp(one.first_title_time),
        complete_time=timestamp(one.complete_time),
    )


def title(one: Title) -> api.RotationTitle:
    """A package of an emergency."""
    return api.RotationTitle(
        package_id=one.package_id,
        state=api.TitleState.ValueType(one.state),
        new_package_id=one.new_package_id,
        failure_message=one.failure_message,
        change_time=timestamp(one.change_time),
    )


def use(one: Use) -> api.KeyUse:
    """A use of keys."""
    return api.KeyUse(
        use_id=one.use_id,
        organisation_id=one.organisation_id,
        action=api.KeyAction.ValueType(one.action),
        actor=one.actor,
        package_id=one.package_id,
        key_ids=one.key_ids,
        kek_id=one.kek_id,
        detail=one.detail,
        use_time=timestamp(one.use_time),
    )


def escrow(one: Escrow) -> api.Escrow:
    """An escrow."""
    return api.Escrow(
        escrow_id=one.escrow_id,
        public_key=one.public_key,
        sealed_private_key=one.sealed_private_key,
        threshold=one.threshold,
        share_count=one.share_count,
        actor=one.actor,
        create_time=timestamp(one.create_time),
    )
