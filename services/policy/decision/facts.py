"""What a decision may look at. A fact that is not known is None, and never taken for a good one."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import IntEnum
from ipaddress import IPv4Address, IPv6Address

from services.policy.decision.law import NO_LAW, Law


class Kind(IntEnum):
    """What somebody wants to do; the numbers are those of the contract (`DecisionKind`)."""

    PLAYBACK = 1
    MANIFEST = 2
    SEGMENT = 3
    LICENCE = 4
    PREVIEW = 5
    DOWNLOAD = 6


class Consent(IntEnum):
    """How the consent of all who are seen in an asset stands; the numbers are those of the contract (`ConsentState`)."""

    COMPLETE = 1
    MISSING = 2
    WITHDRAWN = 3
    NOT_REQUIRED = 4


@dataclass(frozen=True, slots=True)
class Terms:
    """The conditions on which an asset may be watched, as `AssetTerms` of the contract has them."""

    entitlement_required: bool = False
    tiers: tuple[str, ...] = ()
    territories: tuple[str, ...] = ()
    refused_territories: tuple[str, ...] = ()
    start_time: datetime | None = None
    end_time: datetime | None = None
    least_age: int = 0
    maturity: int = 0
    download_allowed: bool = False
    consent_required: bool = False


OPEN_TERMS = Terms()
"""Of an asset that nobody set terms for."""


@dataclass(frozen=True, slots=True)
class Entitlement:
    """A right to watch that is not tied to the tier.

    Attributes:
        asset_id: the one asset; empty for all of the organisation.
        start_time, end_time: None where it is not bounded.
        territories: where it is good; empty for everywhere.
        max_plays: how many plays it lets; 0 for any number.
        plays: how many were begun, where that is counted.
        begin_by_time: until when the first play must begin; None for whenever.
        watch: how long it plays once the first play has begun; None for as long as it lasts.
        begin_time: when the first play began; None when it has not, or is not counted.
    """

    entitlement_id: str
    asset_id: str = ""
    start_time: datetime | None = None
    end_time: datetime | None = None
    territories: tuple[str, ...] = ()
    max_plays: int = 0
    plays: int = 0
    begin_by_time: datetime | None = None
    watch: timedelta | None = None
    begin_time: datetime | None = None

    @property
    def limited(self) -> bool:
        """Whether its use is counted."""
        return bool(self.max_plays) or self.begin_by_time is not None or self.watch is not None


@dataclass(frozen=True, slots=True)
class AgeProof:
    """A viewer is proved to be at least so old.

    Attributes:
        method: how; empty when it is not known.
        prove_time: when; None when it is not known.
        device_id: on which device; empty when it is not known.
    """

    threshold: int
    expire_time: datetime
    method: str = ""
    prove_time: datetime | None = None
    device_id: str = ""


@dataclass(frozen=True, slots=True)
class Viewer:
    """Who wants to watch, as far as anything is known.

    Attributes:
        viewer_id: empty when the caller did not say.
        tier: None when the viewer has no account here.
        locked: whether the account is locked; None as above.
        entitlements: those for the asset in question.
        age_proofs: the latest by each method.
        maturity: limit of the profile that was chosen, as an age; None when none was, which is no limit. 0 for a profile that is not known.
        risk: 0 to 100.
        sign_in_time: when they last proved who they are; None when it is not known.
    """

    viewer_id: str = ""
    tier: str | None = None
    locked: bool | None = None
    entitlements: tuple[Entitlement, ...] = ()
    age_proofs: tuple[AgeProof, ...] = ()
    maturity: int | None = None
    risk: int = 0
    sign_in_time: datetime | None = None


@dataclass(frozen=True, slots=True)
class Device:
    """What the viewer watches on.

    Attributes:
        device_id: empty when none was named.
        revoked: whether it was revoked.
        registered: whether identity registered it for the viewer.
    """

    device_id: str = ""
    revoked: bool = False
    registered: bool = False


@dataclass(frozen=True, slots=True)
class Place:
    """Where the viewer is.

    Attributes:
        address: None when it is not known.
        territory: ISO 3166-2 code, or 3166-1 where no subdivision is known; None when it is not known.
    """

    address: IPv4Address | IPv6Address | None = None
    territory: str | None = None


@dataclass(frozen=True, slots=True)
class Standing:
    """Where asset and session stand.

    Attributes:
        withdrawn: the asset was deleted.
        taken_down: a notice or a leak holds the title.
        restricted: where a notice does not let it be shown.
        revoked: the session was revoked.
        barred: what of viewer, device, asset and key was revoked, such as `viewer`; empty when none was.
        expire_time: when the session is over; None where there is none yet.
    """

    withdrawn: bool = False
    revoked: bool = False
    expire_time: datetime | None = None
    barred: str = ""
    taken_down: bool = False
    restricted: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything that one decision may look at.

    Attributes:
        now: the moment of the decision.
        asset_id: the asset.
        session_id: empty where none is open yet.
        terms: of the asset.
        consent: None where nothing was ever announced.
        counted_on: the entitlement of which the open session is a play; empty where it is of none, or none is open.
        law: what is asked for by place that is about the asset, wherever and whenever it counts.
        streams: how many other playbacks of the viewer are running; None when it was not counted, as where it does not matter.
    """

    now: datetime
    asset_id: str
    session_id: str = ""
    terms: Terms = OPEN_TERMS
    consent: Consent | None = None
    standing: Standing = field(default_factory=Standing)
    viewer: Viewer = field(default_factory=Viewer)
    device: Device = field(default_factory=Device)
    place: Place = field(default_factory=Place)
    streams: int | None = None
    counted_on: str = ""
    law: Law = NO_LAW
