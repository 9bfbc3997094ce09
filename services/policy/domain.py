"""Rules of playback sessions and one-time codes. No input, no output."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import IntEnum
from typing import Final

from services.kit.ids import new_id
from services.policy import refusals

DEFAULT_LIFETIME: Final = timedelta(hours=6)
LONGEST_LIFETIME: Final = timedelta(days=1)
"""As the contract allows (`CreatePlaybackRequest.lifetime`)."""
CLOCKS_APART: Final = timedelta(minutes=5)
"""How far the clocks of this service and of an edge may be apart."""
CODE_LIFETIME: Final = timedelta(minutes=5)
SILENT_AFTER: Final = timedelta(seconds=30)
"""After so long without a sign of life a session's place is free for another stream of the viewer."""
BEAT_INTERVAL: Final = timedelta(seconds=10)


class State(IntEnum):
    """Where a session stands; the numbers are those of the contract."""

    ACTIVE = 1
    EXPIRED = 2
    REVOKED = 3


@dataclass(frozen=True, slots=True)
class Package:
    """A published package, as far as playing it goes.

    Attributes:
        key_ids: ids of the keys that its tracks need, 32 lower-case hex digits each.
        poster_path: below the package, like all paths; empty when there is none.
        thumbnails_path: empty when there is none.
    """

    package_id: str
    asset_id: str
    organisation_id: str
    dash_path: str
    hls_path: str
    poster_path: str
    thumbnails_path: str
    key_ids: tuple[str, ...]
    publish_time: datetime


@dataclass(frozen=True, slots=True)
class Wanted:
    """What somebody asks to watch, besides what it is.

    Attributes:
        viewer_id: empty when it was not said.
        address: IP address of the viewer; empty when it is not known.
        device_id, profile_id: empty when there is none.
        download: whether it is to be kept for watching offline.
        lifetime: of the session.
        sign_in_time: when the viewer last signed in, as the caller says; None when it did not.
        key_thumbprint: key of the device, proved by a person or known to the caller's own system; empty when not known.
    """

    viewer_id: str = ""
    address: str = ""
    device_id: str = ""
    profile_id: str = ""
    download: bool = False
    lifetime: timedelta = DEFAULT_LIFETIME
    sign_in_time: datetime | None = None
    key_thumbprint: str = ""


@dataclass(frozen=True, slots=True)
class Session:
    """The right of one viewer to play one package for a while.

    Attributes:
        expire_time: a whole second, as a ticket says it, so that both end at the same moment.
        revoke_time: None unless it was revoked.
        device_id, profile_id, territory: empty where they are not known.
        download: whether it is kept for watching offline.
        beat_time: the last sign of life; None for a session that counts as no stream.
        displace_time: when it lost its place to another stream of the viewer; None unless it has.
        key_thumbprint: key of the device; empty when it is not known.
        entitlement_id: the limited entitlement of which it is a play; empty when of none.
    """

    session_id: str
    asset_id: str
    package_id: str
    organisation_id: str
    viewer_id: str
    create_time: datetime
    expire_time: datetime
    revoke_time: datetime | None = None
    revoke_comment: str = ""
    device_id: str = ""
    profile_id: str = ""
    territory: str = ""
    download: bool = False
    beat_time: datetime | None = None
    displace_time: datetime | None = None
    key_thumbprint: str = ""
    entitlement_id: str = ""

    @classmethod
    def opened(
        cls, package: Package, wanted: Wanted, now: datetime, *, until: datetime | None = None, territory: str = ""
    ) -> Session:
        """A new session on a package, for as long as was wanted or until a nearer moment."""
        end = now + wanted.lifetime
        return cls(
            session_id=new_id("pbs"),
            asset_id=package.asset_id,
            package_id=package.package_id,
            organisation_id=package.organisation_id,
            viewer_id=wanted.viewer_id,
            create_time=now,
            expire_time=_whole_second(min(end, until) if until else end),
            device_id=wanted.device_id,
            profile_id=wanted.profile_id,
            territory=territory,
            download=wanted.download,
            beat_time=None if wanted.download else now,
            key_thumbprint=wanted.key_thumbprint if wanted.device_id else "",
        )

    def state(self, now: datetime) -> State:
        """Where it stands at a moment."""
        if self.revoke_time is not None:
            return State.REVOKED
        return State.EXPIRED if now >= self.expire_time else State.ACTIVE

    def playing(self, now: datetime) -> None:
        """Checks that it may still be played.

        Raises:
            Refusal: SESSION_REVOKED or TICKET_EXPIRED.
        """
        match self.state(now):
            case State.REVOKED:
                raise refusals.session_revoked(self.session_id)
            case State.EXPIRED:
                raise refusals.ticket_expired(self.expire_time)
            case State.ACTIVE:
                return

    def revoked(self, now: datetime, comment: str) -> Session:
        """The session once it is revoked; one that was stays as it was."""
        return self if self.revoke_time is not None else replace(self, revoke_time=now, revoke_comment=comment)


@dataclass(frozen=True, slots=True)
class Code:
    """A one-time code. Only its digest is ever kept.

    Attributes:
        text: `otc_` and 192 random bits.
        expire_time: when it stops working, used or not.
    """

    text: str
    expire_time: datetime

    @classmethod
    def of(cls, session: Session, now: datetime) -> Code:
        """A new code for a session, which it never outlives."""
        return cls("otc_" + secrets.token_urlsafe(24), min(now + CODE_LIFETIME, session.expire_time))

    def __repr__(self) -> str:
        """Says nothing of the code itself, wherever it may be printed."""
        return f"Code(expire_time={self.expire_time.isoformat()})"


def digest_of(code: str) -> bytes:
    """What is kept of a code. It is 192 random bits, so a plain SHA-256 gives nothing away."""
    return hashlib.sha256(code.encode()).digest()


def _whole_second(moment: datetime) -> datetime:
    return moment.replace(microsecond=0)
