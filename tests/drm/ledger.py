"""Grants licences from memory, by the rules of the licence policy, and remembers what was recorded: what `Granting` is to key systems, for tests of
those alone."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta

import grpc

from services.drm.domain import ContentKey
from services.drm.licences.granting import Asked, Grant
from services.drm.licences.policy import LicencePolicy
from services.kit.clock import Clock
from services.kit.errors import Refusal
from services.kit.ids import new_id

TICKET = "a.good.ticket"


@dataclass
class Ledger:
    """One film and one session.

    Attributes:
        keys: that the session may have.
        issues, refusals: what was recorded.
        asks: what was asked.
    """

    clock: Clock
    keys: list[ContentKey]
    policy: LicencePolicy = field(default_factory=LicencePolicy)
    download: bool = False
    broken: bool = False
    viewer_id: str = "viewer"
    issues: list[Grant] = field(default_factory=list)
    refusals: list[tuple[Grant, Refusal]] = field(default_factory=list)
    asks: list[Asked] = field(default_factory=list)

    def ends(self) -> datetime:
        """When the session does."""
        return self.clock.now() + timedelta(hours=4)

    async def granted(self, asked: Asked) -> Grant:
        self.asks.append(asked)
        if asked.ticket != TICKET:
            raise _denied("TICKET_INVALID", grpc.StatusCode.UNAUTHENTICATED)
        wanted = [key for key in self.keys if asked.key_ids is None or key.key_id in asked.key_ids]
        if not wanted:
            raise _denied("KEY_NOT_ENTITLED", grpc.StatusCode.PERMISSION_DENIED)
        if asked.offline and not (self.policy.offline and self.download):
            raise _denied("OFFLINE_NOT_ALLOWED", grpc.StatusCode.PERMISSION_DENIED)
        found = self.policy.sorted_out({key.key_id: key.label for key in wanted}, asked.security_level, asked.hdcp)
        now = self.clock.now()
        return Grant(
            licence_id=new_id("lic"),
            session_id=new_id("pbs"),
            organisation_id=new_id("org"),
            viewer_id=self.viewer_id,
            device_id="",
            package_id=asked.package_id,
            keys=tuple(key for key in wanted if key.key_id in found.kept),
            dropped=found.dropped,
            policy=self.policy,
            session_expire_time=self.ends(),
            issue_time=now,
            expire_time=self.policy.expire_time(now, self.ends(), offline=asked.offline),
            offline=asked.offline,
            asked=asked,
        )

    async def issued(self, grant: Grant) -> None:
        if self.broken:
            raise _denied("LICENCE_UNRECORDED", grpc.StatusCode.UNAVAILABLE)
        self.issues.append(grant)

    async def refused(self, grant: Grant, refusal: Refusal) -> None:
        self.refusals.append((grant, refusal))


def _denied(reason: str, code: grpc.StatusCode) -> Refusal:
    return Refusal(code, reason, "no", domain="policy.reelmesh")
