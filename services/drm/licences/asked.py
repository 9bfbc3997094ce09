"""A request for a licence, and what is granted: what all key systems have in common."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from google.api.httpbody_pb2 import HttpBody

from services.drm.domain import ContentKey
from services.drm.licences.policy import DropReason, Hdcp, LicencePolicy, SecurityLevel
from services.kit.server import Client, current_call


@dataclass(frozen=True, slots=True)
class Proof:
    """What a call brought to prove that it comes from a registered device (RFC 9449), with the ticket as the token that `ath` names.

    Attributes:
        metadata: of the call.
        method: full method path of the call.
    """

    metadata: Mapping[str, str] = field(repr=False)
    method: str


@dataclass(frozen=True, slots=True)
class Sent:
    """What a player sent, in whatever way it came.

    Attributes:
        ticket: as presented; unchecked.
        package_id: whose keys.
        challenge: the decryption module's message.
        content_type: of that; may be empty.
        client: where it comes from, as the edge tells.
    """

    ticket: str = field(repr=False)
    package_id: str
    challenge: bytes = field(repr=False)
    content_type: str
    client: Client
    proof: Proof

    @classmethod
    def by_call(cls, ticket: str, package_id: str, challenge: HttpBody) -> Sent:
        """By the gRPC call that is being served."""
        call = current_call()
        proof = Proof(call.metadata, call.method)
        return cls(ticket, package_id, challenge.data, challenge.content_type, call.client, proof)


@dataclass(frozen=True, slots=True)
class Asked:
    """A request for a licence, as far as all key systems have it in common.

    Attributes:
        ticket: as presented; unchecked.
        package_id: whose keys.
        key_ids: 16 bytes each; None for all that the session may have.
        key_system: such as `org.w3.clearkey` or `com.apple.fps`.
        security_level: of the decryption module, as far as the key system vouches for it.
        hdcp: greatest version that the key system can hold the player to; NONE where it cannot.
        offline: whether the licence is to be kept.
        renewal_of: licence that is renewed; empty when none is.
        address, user_agent: of the player, as the edge tells; empty when not known.
        proof: None when the key system has no way to bring one.
    """

    ticket: str = field(repr=False)
    package_id: str
    key_ids: tuple[bytes, ...] | None
    key_system: str
    security_level: SecurityLevel
    hdcp: Hdcp = Hdcp.NONE
    offline: bool = False
    renewal_of: str = ""
    address: str = ""
    user_agent: str = ""
    proof: Proof | None = None


@dataclass(frozen=True, slots=True)
class Grant:
    """What a player may have. It is held no longer than one call takes, and prints without its keys.

    Attributes:
        licence_id: of the licence that is made of it.
        viewer_id, device_id: empty when not known.
        keys: opened; at least one, in the order asked.
        dropped: keys that the session is entitled to and this player does not get.
        policy: that it is issued by.
        session_expire_time: when the playback ends.
        issue_time: now.
        expire_time: when the licence ends at the latest.
        offline: whether it may be kept.
        asked: what it answers.
    """

    licence_id: str
    session_id: str
    organisation_id: str
    viewer_id: str
    device_id: str
    package_id: str
    keys: tuple[ContentKey, ...]
    dropped: Mapping[bytes, DropReason]
    policy: LicencePolicy
    session_expire_time: datetime
    issue_time: datetime
    expire_time: datetime
    offline: bool
    asked: Asked

    @property
    def renew_time(self) -> datetime | None:
        """When the player is to ask again; None when it is not told to."""
        return None if self.policy.renew_after is None else self.issue_time + self.policy.renew_after
