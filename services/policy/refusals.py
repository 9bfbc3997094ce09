"""Every refusal of this domain: what is wrong, and how to mend it. Reasons and metadata are those of `policy.proto`."""

from __future__ import annotations

from datetime import datetime
from typing import Final

import grpc

from services.kit.errors import Refusal

DOMAIN: Final = "policy.reelmesh"


def ticket_missing() -> Refusal:
    """The path carries no ticket."""
    return _denied(
        "TICKET_MISSING", "the address carries no playback ticket; play by the URLs that CreatePlayback returns"
    )


def ticket_invalid() -> Refusal:
    """Says no more than that, whatever is wrong: who tampers with tickets gets no help."""
    return _denied("TICKET_INVALID", "the playback ticket is not valid; start the playback anew")


def ticket_expired(expire_time: datetime) -> Refusal:
    """The ticket's time is over."""
    moment = expire_time.strftime("%Y-%m-%dT%H:%M:%SZ")
    return _denied("TICKET_EXPIRED", f"the playback ended at {moment}; start a new one", expire_time=moment)


def ticket_other_package(package_id: str) -> Refusal:
    """The ticket is for another package."""
    return _denied(
        "TICKET_OTHER_PACKAGE",
        f"the playback ticket is not for {package_id}; open a playback for that title",
        package_id=package_id,
    )


def session_revoked(session_id: str) -> Refusal:
    """The session was revoked."""
    return _denied(
        "SESSION_REVOKED",
        "this playback was ended by the operator; ask them why before starting a new one",
        session_id=session_id,
    )


def key_not_entitled(key_id: str) -> Refusal:
    """None of the keys asked for belongs to what the session may play."""
    return _denied(
        "KEY_NOT_ENTITLED",
        f"this playback does not include the key {key_id}; ask for keys of the package being played",
        key_id=key_id,
    )


def asset_not_playable(asset_id: str) -> Refusal:
    """The asset is unknown, belongs to someone else, or is not ready: which of them is not told."""
    message = f"{asset_id} cannot be played: check the id, and wait until WatchAsset says that the asset is ready"
    return Refusal(
        grpc.StatusCode.FAILED_PRECONDITION,
        "ASSET_NOT_PLAYABLE",
        message,
        domain=DOMAIN,
        metadata={"asset_id": asset_id},
    )


def asset_withdrawn(asset_id: str, code: grpc.StatusCode) -> Refusal:
    """The asset was deleted. PERMISSION_DENIED at the edge, FAILED_PRECONDITION where a new playback is asked for."""
    message = f"{asset_id} was deleted and can no longer be played; upload it again to make it available"
    return Refusal(code, "ASSET_WITHDRAWN", message, domain=DOMAIN, metadata={"asset_id": asset_id})


def code_invalid() -> Refusal:
    """The one-time code is unknown or was used: which of them is not told."""
    return _denied("CODE_INVALID", "the code is not known or was used before; a code works once, so ask for a new link")


def code_expired() -> Refusal:
    """The one-time code's time is over."""
    return _denied("CODE_EXPIRED", "the code was not used in time; ask for a new link")


def session_not_found(session_id: str) -> Refusal:
    """There is no such session in the caller's organisation."""
    message = f"there is no playback session {session_id}; ListPlaybackSessions shows those that there are"
    return Refusal(
        grpc.StatusCode.NOT_FOUND, "SESSION_NOT_FOUND", message, domain=DOMAIN, metadata={"session_id": session_id}
    )


def viewer_not_self(account_id: str) -> Refusal:
    """A person opens playbacks for themselves only."""
    message = "you can open a playback for yourself only; leave viewer_id empty, or ask with an API key"
    return _denied("VIEWER_NOT_SELF", message, viewer_id=account_id)


def path_invalid(why: str) -> Refusal:
    """The path is not one that the edge serves."""
    return _denied("PATH_INVALID", why)


def _denied(reason: str, message: str, **metadata: str) -> Refusal:
    return Refusal(grpc.StatusCode.PERMISSION_DENIED, reason, message, domain=DOMAIN, metadata=metadata)
