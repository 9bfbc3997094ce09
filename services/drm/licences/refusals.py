"""Every refusal of licences: what is wrong, and how to mend it. Reasons and metadata are those of `drm.proto`."""

from __future__ import annotations

from collections.abc import Collection
from datetime import timedelta

import grpc

from services.drm.domain import DOMAIN
from services.drm.licences.policy import DropReason, TrackRule
from services.kit.errors import Refusal


def dropped(reason: DropReason, labels: Collection[str], rule: TrackRule) -> Refusal:
    """All keys were dropped, the first of them for this reason."""
    named = ", ".join(labels)
    if reason is DropReason.SECURITY_LEVEL_TOO_LOW:
        return _denied(
            reason.value,
            f"keys for {named} go to decryption modules of level {rule.least_security.name} only; ask for tracks of a lower resolution",
            labels=named,
            least=rule.least_security.name,
        )
    return _denied(
        reason.value,
        f"keys for {named} go to players only whose outputs are held to HDCP {rule.hdcp.name}; ask for tracks of a lower resolution",
        labels=named,
        hdcp=rule.hdcp.name,
    )


def offline_not_allowed(by: str) -> Refusal:
    """No licence may be kept."""
    how = "open the playback as a download" if by == "playback" else "ask for a licence that is not kept"
    return _denied("OFFLINE_NOT_ALLOWED", f"a licence for watching offline is not allowed here; {how}", by=by)


def licence_revoked(licence_id: str) -> Refusal:
    """The offline licence was revoked."""
    return _denied(
        "LICENCE_REVOKED",
        "this offline licence was revoked by the operator; ask them why, and open the playback anew",
        licence_id=licence_id,
    )


def licence_not_found(licence_id: str) -> Refusal:
    """There is no such licence in the organisation."""
    return Refusal(
        grpc.StatusCode.NOT_FOUND,
        "LICENCE_NOT_FOUND",
        f"there is no offline licence {licence_id}; ListOfflineLicences lists those there are, some seconds after their issue",
        domain=DOMAIN,
        metadata={"licence_id": licence_id},
    )


def policy_invalid(field: str, why: str) -> Refusal:
    """A licence policy contradicts itself."""
    return Refusal(
        grpc.StatusCode.INVALID_ARGUMENT,
        "LICENCE_POLICY_INVALID",
        f"the licence policy contradicts itself: {why}",
        domain=DOMAIN,
        fields=[(field, why)],
    )


def device_not_proven(device_id: str) -> Refusal:
    """The request does not come from the registered device, as far as can be told."""
    return _denied(
        "DEVICE_NOT_PROVEN",
        "licences go to registered devices only: open the playback on one, and send a DPoP proof by its key with the request",
        device_id=device_id,
    )


def unrecorded(why: str) -> Refusal:
    """No licence can be recorded, and so none is issued."""
    return Refusal(
        grpc.StatusCode.UNAVAILABLE,
        "LICENCE_UNRECORDED",
        "licences cannot be recorded now, and none is issued without; try again in a moment, or look at the service's disk and database",
        domain=DOMAIN,
        metadata={"why": why},
        retry_after=timedelta(seconds=5),
    )


def request_malformed(key_system: str, what: str) -> Refusal:
    """The body is no licence request of its key system."""
    return Refusal(
        grpc.StatusCode.INVALID_ARGUMENT,
        "LICENCE_REQUEST_MALFORMED",
        f"the body is no licence request of {key_system}: {what}; send what the decryption module says, unchanged",
        domain=DOMAIN,
        metadata={"key_system": key_system},
    )


def _denied(reason: str, message: str, **metadata: str) -> Refusal:
    return Refusal(grpc.StatusCode.PERMISSION_DENIED, reason, message, domain=DOMAIN, metadata=metadata)
