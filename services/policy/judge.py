"""The decision: may the holder of this ticket have this? Made from memory alone, because it may be asked for every segment.

The edge and the key service ask the same judge, so that a manifest, its segments and its keys can never be of two minds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import grpc

from services.kit.clock import Clock
from services.kit.errors import Refusal
from services.policy import paths, refusals
from services.policy.domain import CLOCKS_APART, LONGEST_LIFETIME, Package
from services.policy.paths import PlaybackPath
from services.policy.tickets import Ticket, Tickets

PUBLISHED: Final = "/published"


@dataclass(frozen=True, slots=True)
class Playable:
    """What has to be known of a package to judge requests for it."""

    asset_id: str
    organisation_id: str
    key_ids: frozenset[str]

    @classmethod
    def of(cls, package: Package) -> Playable:
        """The part of a package that is kept in memory."""
        return cls(package.asset_id, package.organisation_id, frozenset(package.key_ids))


class Known:
    """All that this process knows by heart. `services.policy.follower` keeps it up to date."""

    def __init__(self) -> None:
        self._packages: dict[str, Playable] = {}
        self._withdrawn: dict[str, float] = {}
        self._revoked: dict[str, float] = {}
        self._changed: Callable[[], None] = lambda: None

    def when_changed(self, wake: Callable[[], None]) -> None:
        """Calls `wake` whenever somebody is barred, or no longer needs to be."""
        self._changed = wake

    def publish(self, package: Package) -> None:
        """A package can be played."""
        self._packages[package.package_id] = Playable.of(package)
        if package.asset_id in self._withdrawn:
            self._changed()

    def withdraw(self, asset_id: str, moment: float) -> None:
        """An asset was deleted; the moment, in Unix time, is that at which this service learned of it."""
        if asset_id not in self._withdrawn:
            self._withdrawn[asset_id] = moment
            self._changed()

    def revoke(self, session_id: str, expires: float) -> None:
        """A session was revoked; remembered until its tickets end by themselves."""
        new = session_id not in self._revoked
        self._revoked[session_id] = expires
        if new:
            self._changed()

    def forget_expired(self, now: float) -> None:
        """Forgets revocations of sessions that are over anyway, by the clock of every edge."""
        over = [
            session_id for session_id, expires in self._revoked.items() if expires + CLOCKS_APART.total_seconds() <= now
        ]
        for session_id in over:
            del self._revoked[session_id]
        if over:
            self._changed()

    def barred(self, now: float) -> tuple[Sequence[str], Sequence[str]]:
        """Revoked sessions, and packages of deleted assets for as long as a ticket for them may be about, in order."""
        since = now - (LONGEST_LIFETIME + CLOCKS_APART).total_seconds()
        withdrawn = {asset_id for asset_id, moment in self._withdrawn.items() if moment > since}
        packages = [package_id for package_id, playable in self._packages.items() if playable.asset_id in withdrawn]
        return sorted(self._revoked), sorted(packages)

    def package(self, package_id: str) -> Playable | None:
        """A published package; None when it is not known."""
        return self._packages.get(package_id)

    def is_withdrawn(self, asset_id: str) -> bool:
        """Tells whether an asset was deleted."""
        return asset_id in self._withdrawn

    def is_revoked(self, session_id: str) -> bool:
        """Tells whether a session was revoked."""
        return session_id in self._revoked


class PackageUnknown(Refusal):
    """A good ticket names a package that is not known here. It may have been published a moment ago by way of another replica."""

    def __init__(self, package_id: str) -> None:
        refusal = refusals.path_invalid(f"{package_id} is not published here")
        super().__init__(refusal.code, refusal.reason, refusal.message, domain=refusal.domain)


@dataclass(frozen=True, slots=True)
class Admission:
    """A request that may go on.

    Attributes:
        path: path that it goes on with; empty when it keeps its own.
    """

    session_id: str
    path: str


class Judge:
    """Judges requests from what is known."""

    def __init__(self, tickets: Tickets, known: Known, clock: Clock) -> None:
        self._tickets = tickets
        self._known = known
        self._clock = clock

    def request(self, method: str, path: str) -> Admission:
        """Judges an HTTP request at the edge.

        Raises:
            Refusal: whatever is wrong with it, as `policy.proto` lists; `PackageUnknown` is worth a second try.
        """
        asked = paths.read(path)
        return self.admission(self._tickets.read(asked.ticket), asked, method)

    def admission(self, ticket: Ticket, asked: PlaybackPath, method: str) -> Admission:
        """Judges what the holder of a right, by whichever credential it was shown, may have.

        Raises:
            Refusal: as above.
        """
        package = self._standing(ticket, asked.package_id)
        asked.allows(method)
        self._same_owner(ticket, package)
        return Admission(
            ticket.session_id, f"{PUBLISHED}/{asked.package_id}/{asked.file}" if asked.kind is paths.Kind.MEDIA else ""
        )

    def keys(self, token: str, package_id: str, key_ids: Iterable[str]) -> tuple[Ticket, Sequence[str]]:
        """Judges which of the asked keys the holder of a ticket may have; at least one.

        Raises:
            Refusal: as above, and KEY_NOT_ENTITLED.
        """
        ticket = self._tickets.read(token)
        package = self._standing(ticket, package_id)
        entitled = self._same_owner(ticket, package).key_ids
        asked = list(dict.fromkeys(key_ids))
        granted = [key_id for key_id in asked if key_id in entitled]
        if not granted:
            raise refusals.key_not_entitled(asked[0])
        return ticket, granted

    def published(self, package_id: str) -> Playable:
        """A package that may be shown.

        Raises:
            Refusal: ASSET_WITHDRAWN; `PackageUnknown` is worth a second try.
        """
        package = self._known.package(package_id)
        if package is None:
            raise PackageUnknown(package_id)
        if self._known.is_withdrawn(package.asset_id):
            raise refusals.asset_withdrawn(package.asset_id, grpc.StatusCode.PERMISSION_DENIED)
        return package

    def _standing(self, ticket: Ticket, package_id: str) -> Playable | None:
        ticket.valid_at(self._clock.now().timestamp())
        if ticket.package_id != package_id:
            raise refusals.ticket_other_package(package_id)
        package = self._known.package(package_id)
        # That the film is gone says more than that its sessions were ended with it.
        if package is not None and self._known.is_withdrawn(package.asset_id):
            raise refusals.asset_withdrawn(package.asset_id, grpc.StatusCode.PERMISSION_DENIED)
        if self._known.is_revoked(ticket.session_id):
            raise refusals.session_revoked(ticket.session_id)
        return package

    @staticmethod
    def _same_owner(ticket: Ticket, package: Playable | None) -> Playable:
        if package is None:
            raise PackageUnknown(ticket.package_id)
        if package.organisation_id != ticket.organisation_id:
            raise refusals.ticket_invalid()
        return package
