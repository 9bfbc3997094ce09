"""What is recorded of licences: the very events that are announced later, with their ids. No key is in them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from google.protobuf.message import DecodeError
from reelmesh.drm.v1 import events_pb2, licences_pb2

from services.drm.licences.asked import Asked, Grant
from services.kit import telemetry
from services.kit.clock import timestamp
from services.kit.errors import Refusal
from services.kit.ids import new_id

_ISSUED = b"i"
_REFUSED = b"r"
_SEPARATOR = b"\n"


class Unreadable(Exception):
    """A frame of the journal holds no record of ours."""


@dataclass(frozen=True, slots=True)
class Record:
    """One licence that was issued or refused.

    Attributes:
        event_id: of the event that tells of it.
        correlation_id: of the call.
        event: with everything but the keys.
    """

    event_id: str
    correlation_id: str
    event: events_pb2.LicenceIssued | events_pb2.LicenceRefused

    def packed(self) -> bytes:
        """Content of its frame in the journal: kind, event id, correlation id and event, separated by line feeds."""
        kind = _ISSUED if isinstance(self.event, events_pb2.LicenceIssued) else _REFUSED
        return _SEPARATOR.join(
            (kind, self.event_id.encode(), self.correlation_id.encode(), self.event.SerializeToString())
        )

    @classmethod
    def unpacked(cls, content: bytes) -> Record:
        """Reads it back.

        Raises:
            Unreadable: it is something else.
        """
        try:
            kind, event_id, correlation_id, event = content.split(_SEPARATOR, 3)
            kinds: dict[bytes, type[events_pb2.LicenceIssued | events_pb2.LicenceRefused]] = {
                _ISSUED: events_pb2.LicenceIssued,
                _REFUSED: events_pb2.LicenceRefused,
            }
            read = kinds[kind]()
            read.ParseFromString(event)
            return cls(event_id.decode(), correlation_id.decode(), read)
        except (ValueError, KeyError, DecodeError) as error:
            raise Unreadable from error


def issue(grant: Grant) -> Record:
    """The record of a licence."""
    asked = grant.asked
    event = events_pb2.LicenceIssued(
        licence_id=grant.licence_id,
        session_id=grant.session_id,
        organisation_id=grant.organisation_id,
        viewer_id=grant.viewer_id,
        device_id=grant.device_id,
        package_id=grant.package_id,
        key_ids=[key.key_id.hex() for key in grant.keys],
        dropped_key_ids=[key_id.hex() for key_id in grant.dropped],
        key_system=asked.key_system,
        security_level=licences_pb2.SecurityLevel.ValueType(asked.security_level),
        offline=grant.offline,
        policy_version=grant.policy.version,
        renewal_of=asked.renewal_of,
        issue_time=timestamp(grant.issue_time),
        expire_time=timestamp(grant.expire_time),
    )
    # The event is as much one with the licence as two things can be.
    return Record("evt" + grant.licence_id.removeprefix("lic"), telemetry.correlation_id(), event)


def refusal(
    asked: Asked,
    why: Refusal,
    moment: datetime,
    *,
    session_id: str,
    organisation_id: str,
    viewer_id: str = "",
    device_id: str = "",
) -> Record:
    """The record of a refusal."""
    event = events_pb2.LicenceRefused(
        session_id=session_id,
        organisation_id=organisation_id,
        viewer_id=viewer_id,
        device_id=device_id,
        package_id=asked.package_id,
        key_ids=[key_id.hex() for key_id in asked.key_ids or ()],
        key_system=asked.key_system,
        security_level=licences_pb2.SecurityLevel.ValueType(asked.security_level),
        reason_domain=why.domain,
        reason=why.reason,
        refuse_time=timestamp(moment),
    )
    return Record(new_id("evt"), telemetry.correlation_id(), event)
