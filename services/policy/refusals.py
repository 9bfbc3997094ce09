"""Every refusal of this domain: what is wrong, and how to mend it. Reasons and metadata are those of `policy.proto`."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
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
    moment = _moment(expire_time)
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


def device_not_self(device_id: str) -> Refusal:
    """A person watches on the device that their token is bound to."""
    message = "you watch on the device that you are signed in on; leave device_id empty, or register this device"
    return _denied("DEVICE_NOT_SELF", message, device_id=device_id)


def path_invalid(why: str) -> Refusal:
    """The path is not one that the edge serves."""
    return _denied("PATH_INVALID", why)


def account_locked() -> Refusal:
    """The viewer's account is locked."""
    return _denied("VIEWER_LOCKED", "this account is locked; ask whoever runs this platform")


def not_yet(start: datetime) -> Refusal:
    """The asset's window of time has not opened."""
    moment = _moment(start)
    return _denied("OUTSIDE_WINDOW", f"this can be watched from {moment} on", start_time=moment)


def not_any_more(end: datetime) -> Refusal:
    """The asset's window of time has closed."""
    moment = _moment(end)
    return _denied("OUTSIDE_WINDOW", f"this could be watched until {moment}", end_time=moment)


def network_refused() -> Refusal:
    """The organisation does not let this network in."""
    return _denied("NETWORK_REFUSED", "this cannot be watched from your network; connect by the one that was agreed")


def territory_refused(territory: str, cause: str = "terms") -> Refusal:
    """The asset may not be watched where the viewer is."""
    return _denied("TERRITORY_REFUSED", f"this cannot be watched in {territory}", territory=territory, cause=cause)


def territory_unknown() -> Refusal:
    """It depends on where the viewer is, which is not known."""
    return _denied(
        "TERRITORY_UNKNOWN",
        "it is not known where you are, and this can be watched in some places only; try without a VPN",
    )


def consent_missing(asset_id: str) -> Refusal:
    """Somebody who is seen in the asset has not consented, or not any more."""
    message = "this cannot be watched: the consent of somebody who is seen in it is not on record"
    return _denied("CONSENT_MISSING", message, asset_id=asset_id)


def age_proof_required(threshold: int, methods: Sequence[str] = ()) -> Refusal:
    """The viewer has to prove their age: by one of the methods, where the law names some."""
    by = f" by {' or '.join(methods)}" if methods else ""
    message = f"prove that you are at least {threshold} to watch this{by}; POST /v1/ageChecks begins it"
    accepted = {"methods": ",".join(methods)} if methods else {}
    return _denied("AGE_PROOF_REQUIRED", message, threshold=str(threshold), start="/v1/ageChecks", **accepted)


def maturity_exceeded(rating: int) -> Refusal:
    """The profile may not see what is rated so."""
    message = f"this is rated {rating}, which this profile may not see; choose another profile"
    return _denied("MATURITY_EXCEEDED", message, maturity=str(rating))


def entitlement_required(asset_id: str, tiers: Sequence[str]) -> Refusal:
    """The viewer needs an entitlement, or a tier that needs none."""
    or_tier = f", or subscribe to {' or '.join(tiers)}" if tiers else ""
    metadata = {"asset_id": asset_id, **({"tiers": ", ".join(tiers)} if tiers else {})}
    return _denied("ENTITLEMENT_REQUIRED", f"buy or rent this to watch it{or_tier}", **metadata)


def entitlement_used_up(entitlement_id: str, max_plays: int) -> Refusal:
    """All plays of what the viewer has were used."""
    plays = "the one play" if max_plays == 1 else f"all {max_plays} plays"
    return _denied(
        "ENTITLEMENT_USED_UP",
        f"{plays} that you had of this {'is' if max_plays == 1 else 'are'} used; buy or rent it again to watch it once more",
        entitlement_id=entitlement_id,
        max_plays=str(max_plays),
    )


def rental_over(entitlement_id: str, end_time: datetime) -> Refusal:
    """The time of what the viewer rented is over, begun or not."""
    moment = _moment(end_time)
    message = f"your time to watch this ended at {moment}; rent it again, or buy it"
    return _denied("RENTAL_OVER", message, entitlement_id=entitlement_id, end_time=moment)


def device_refused() -> Refusal:
    """The device is not registered, or was revoked."""
    return _denied("DEVICE_REFUSED", "this device may not play; register it, or use one that is registered")


def too_many_streams(limit: int | None = None) -> Refusal:
    """The viewer watches on as many screens as the tier has. A silent one is given up after half a minute."""
    screens = {None: "other screens", 1: "1 screen"}.get(limit, f"{limit} screens")
    return Refusal(
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        "TOO_MANY_STREAMS",
        f"you are watching on {screens} already, which is all that your plan has; stop one of them",
        domain=DOMAIN,
        metadata={} if limit is None else {"limit": str(limit)},
        retry_after=timedelta(seconds=30),
    )


def risk_too_high(score: int) -> Refusal:
    """What the viewer does looks like abuse."""
    message = "playback was stopped because of unusual activity; ask whoever runs this platform"
    return _denied("RISK_TOO_HIGH", message, score=str(score))


def step_up_required(score: int) -> Refusal:
    """What the viewer does looks unusual: they have to show once more that it is them."""
    return _denied("STEP_UP_REQUIRED", "there was unusual activity: sign in again to go on watching", score=str(score))


def download_refused(asset_id: str) -> Refusal:
    """The asset may not be kept for watching offline."""
    return _denied("DOWNLOAD_REFUSED", "this cannot be kept for watching offline; stream it", asset_id=asset_id)


def decision_not_found(decision_id: str) -> Refusal:
    """None in the caller's organisation, or an old one."""
    message = f"there is no decision {decision_id}; they are kept for 30 days, and ListDecisions shows them"
    return Refusal(
        grpc.StatusCode.NOT_FOUND, "DECISION_NOT_FOUND", message, domain=DOMAIN, metadata={"decision_id": decision_id}
    )


def rule_set_not_found(version: int) -> Refusal:
    """None in the caller's organisation."""
    message = f"there is no set of rules {version}; ListRuleSets shows those that there are"
    return Refusal(
        grpc.StatusCode.NOT_FOUND, "RULE_SET_NOT_FOUND", message, domain=DOMAIN, metadata={"version": str(version)}
    )


def playback_revoked(target: str) -> Refusal:
    """Whoever or whatever is concerned was revoked."""
    what = {"viewer": "you may not watch here any more", "device": "this device may not play any more"}
    message = what.get(target, "this may not be watched any more")
    return _denied("PLAYBACK_REVOKED", f"{message}; ask whoever runs this platform", target=target)


def title_taken_down(asset_id: str) -> Refusal:
    """A notice or a leak holds the title."""
    message = "this was taken down after a notice and cannot be watched; whoever published it can answer the notice"
    return _denied("TITLE_TAKEN_DOWN", message, asset_id=asset_id)


def held(what: str, asset_id: str) -> Refusal:
    """A package is held: its `title` was taken down, its `asset` or `key` revoked, or the `consent` of somebody seen in it taken back."""
    if what == "title":
        return title_taken_down(asset_id)
    return consent_missing(asset_id) if what == "consent" else playback_revoked(what)


def revocation_not_found(revocation_id: str) -> Refusal:
    """None in the caller's organisation."""
    message = f"there is no revocation {revocation_id}; ListRevocations shows those that there are"
    return Refusal(
        grpc.StatusCode.NOT_FOUND,
        "REVOCATION_NOT_FOUND",
        message,
        domain=DOMAIN,
        metadata={"revocation_id": revocation_id},
    )


def _moment(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def _denied(reason: str, message: str, **metadata: str) -> Refusal:
    return Refusal(grpc.StatusCode.PERMISSION_DENIED, reason, message, domain=DOMAIN, metadata=metadata)
