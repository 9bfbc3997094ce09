"""What `policy` tells of the use of entitlements."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC
from typing import Final

from google.protobuf.message import Message
from reelmesh.policy.v1 import events_pb2 as policy

from services.kit.database import Tx
from services.kit.events import Handler
from services.payments.entitlements import granting


async def _used(tx: Tx, data: bytes) -> None:
    """A playback took a play, or began a window."""
    event = policy.EntitlementUsed.FromString(data)
    begin_time = event.begin_time.ToDatetime(tzinfo=UTC)
    await granting.use(tx, event.organisation_id, event.entitlement_id, event.plays, begin_time)


HANDLERS: Final[Mapping[type[Message], Handler]] = {policy.EntitlementUsed: _used}
