"""Licence policies and licences as the contract shows them, and back."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import timedelta
from typing import Any, Final

import sqlalchemy as sa
from google.protobuf.duration_pb2 import Duration
from google.protobuf.json_format import MessageToDict, ParseDict
from reelmesh.drm.v1 import licences_pb2

from services.drm.licences.policy import FIRST_RULES, Hdcp, LicencePolicy, SecurityLevel, TrackKind, TrackRule
from services.drm.licences.store import KeptPolicy, OfflineLicence
from services.kit.clock import duration, timestamp

_DURATIONS: Final = ("licence_duration", "rental_duration", "playback_duration", "renew_after")
_SWITCHES: Final = ("offline", "device_required")


def policy_message(policy: LicencePolicy, kept: KeptPolicy | None) -> licences_pb2.LicencePolicy:
    """A policy with a rule for every kind; `kept` tells when it was made, and by whom."""
    message = _bare(policy)
    message.etag = str(policy.version)
    if kept is not None:
        message.author = kept.author
        message.create_time.FromDatetime(kept.create_time)
    return message


def packed(policy: LicencePolicy) -> dict[str, Any]:
    """A policy as it is stored: the contract's message as JSON."""
    return MessageToDict(_bare(policy), preserving_proto_field_name=True)


def kept_policy(kept: KeptPolicy) -> LicencePolicy:
    """A policy as it was stored. Fields that this version of the service does not know are a later one's."""
    message = ParseDict(dict(kept.policy), licences_pb2.LicencePolicy(), ignore_unknown_fields=True)
    read = changed(LicencePolicy(), message, [*_DURATIONS, *_SWITCHES, "tracks"])
    return replace(read, version=kept.version)


def changed(policy: LicencePolicy, wanted: licences_pb2.LicencePolicy, paths: Iterable[str]) -> LicencePolicy:
    """A policy with some of its fields taken from a message."""
    values: dict[str, Any] = {}
    for path in paths:
        if path in _DURATIONS:
            values[path] = _span(getattr(wanted, path)) if wanted.HasField(path) else None  # type: ignore[arg-type]  # one of its own names
        elif path in _SWITCHES:
            values[path] = getattr(wanted, path)
        elif path == "tracks":
            values[path] = {**policy.tracks, **{TrackKind(rule.kind): _rule(rule) for rule in wanted.tracks}}
    return replace(policy, **values)


def changeable() -> tuple[str, ...]:
    """Fields that may be named in an update mask."""
    return (*_DURATIONS, *_SWITCHES, "tracks")


def licence(row: sa.Row[Any]) -> licences_pb2.Licence:
    """A licence that was issued."""
    return licences_pb2.Licence(
        licence_id=row.licence_id,
        session_id=row.session_id,
        viewer_id=row.viewer_id,
        device_id=row.device_id,
        package_id=row.package_id,
        key_ids=row.key_ids,
        key_system=row.key_system,
        security_level=licences_pb2.SecurityLevel.ValueType(row.security_level),
        offline=row.offline,
        policy_version=row.policy_version,
        renewal_of=row.renewal_of,
        issue_time=timestamp(row.issue_time),
        expire_time=timestamp(row.expire_time),
    )


def offline_licence(kept: OfflineLicence) -> licences_pb2.OfflineLicence:
    """An offline licence."""
    return licences_pb2.OfflineLicence(
        licence_id=kept.licence_id,
        session_id=kept.session_id,
        viewer_id=kept.viewer_id,
        device_id=kept.device_id,
        package_id=kept.package_id,
        issue_count=kept.issue_count,
        create_time=timestamp(kept.create_time),
        issue_time=timestamp(kept.issue_time),
        expire_time=timestamp(kept.expire_time),
        revoke_time=timestamp(kept.revoke_time),
    )


def _bare(policy: LicencePolicy) -> licences_pb2.LicencePolicy:
    message = licences_pb2.LicencePolicy(
        version=policy.version,
        offline=policy.offline,
        device_required=policy.device_required,
        tracks=[_rule_message(kind, policy.tracks.get(kind, FIRST_RULES[kind])) for kind in TrackKind],
    )
    for name in _DURATIONS:
        span = getattr(policy, name)
        if span is not None:
            getattr(message, name).CopyFrom(duration(span.total_seconds()))
    return message


def _rule_message(kind: TrackKind, rule: TrackRule) -> licences_pb2.TrackRule:
    return licences_pb2.TrackRule(
        kind=licences_pb2.TrackKind.ValueType(kind),
        least_security=licences_pb2.SecurityLevel.ValueType(rule.least_security),
        hdcp=licences_pb2.Hdcp.ValueType(rule.hdcp),
        analogue_allowed=rule.analogue_allowed,
    )


def _rule(message: licences_pb2.TrackRule) -> TrackRule:
    return TrackRule(
        SecurityLevel(message.least_security or SecurityLevel.SOFTWARE),
        Hdcp(message.hdcp or Hdcp.NONE),
        message.analogue_allowed,
    )


def _span(message: Duration) -> timedelta:
    return message.ToTimedelta()
