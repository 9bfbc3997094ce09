"""The decision: may the holder of this ticket have this? Made from memory alone, because it may be asked for every segment.

The edge and the key service ask the same judge, so that a manifest, its segments and its keys can never be of two minds.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import grpc

from services.kit.clock import Clock
from services.kit.errors import Refusal, unavailable
from services.policy import paths, refusals
from services.policy.domain import CLOCKS_APART, LONGEST_LIFETIME, Package
from services.policy.paths import PlaybackPath
from services.policy.tickets import Ticket, Tickets
from services.policy.watermarks import segment_of, variant_of

PUBLISHED: Final = "/published"
CONSENT: Final = "consent"
"""Why a package is held whose consent was taken back."""


@dataclass(frozen=True, slots=True)
class Playable:
    """What has to be known of a package to judge requests for it."""

    asset_id: str
    organisation_id: str
    key_ids: frozenset[str]
    watermark_colluders: int = 0
    watermark_segments: int = 0

    @classmethod
    def of(cls, package: Package) -> Playable:
        """The part of a package that is kept in memory."""
        return cls(
            package.asset_id,
            package.organisation_id,
            frozenset(package.key_ids),
            package.watermark_colluders,
            package.watermark_segments,
        )


class Known:
    """All that this process knows by heart. `services.policy.follower` keeps it up to date.

    Attributes:
        confirmed: moment, on `time.monotonic`, at which it was last known to be complete.
    """

    def __init__(self) -> None:
        self._packages: dict[str, Playable] = {}
        self._withdrawn: dict[str, float] = {}
        self._revoked: dict[str, float] = {}
        self._displaced: dict[str, float] = {}
        self._held: Mapping[str, str] = {}
        self._throttled: tuple[str, ...] = ()
        self.confirmed = 0.0
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

    def displace(self, session_id: str, expires: float) -> None:
        """A session lost its place to another stream of its viewer."""
        if session_id not in self._displaced:
            self._displaced[session_id] = expires
            self._changed()

    def restore(self, session_id: str) -> None:
        """A session has its place again."""
        if self._displaced.pop(session_id, None) is not None:
            self._changed()

    def hold(self, packages: Mapping[str, str]) -> None:
        """All packages whose title is taken down, whose asset or key is revoked, or whose consent was, each with which of the four; in place of those
        before."""
        if packages != self._held:
            self._held = packages
            self._changed()

    def hold_asset(self, asset_id: str, why: str) -> None:
        """All packages of an asset, at once; the next look into the database finds them too."""
        found = {package_id: why for package_id, playable in self._packages.items() if playable.asset_id == asset_id}
        self.hold({**found, **self._held})

    def held(self, package_id: str) -> str:
        """What holds a package, `title`, `asset`, `key` or `consent`; empty when nothing does."""
        return self._held.get(package_id, "")

    def throttle(self, sessions: Iterable[str]) -> None:
        """All sessions that are slowed down, newest first; in place of those before."""
        wanted = tuple(sessions)
        if wanted != self._throttled:
            self._throttled = wanted
            self._changed()

    @property
    def throttled(self) -> Sequence[str]:
        """Sessions that are slowed down, newest first."""
        return self._throttled

    @property
    def alone_for(self) -> float:
        """Seconds for which nobody can have told of everybody who is barred."""
        return time.monotonic() - self.confirmed

    def displaced(self) -> Sequence[str]:
        """Sessions without a place."""
        return list(self._displaced)

    def forget_expired(self, now: float) -> None:
        """Forgets revocations of sessions that are over anyway, by the clock of every edge."""
        forgotten = 0
        for barred in (self._revoked, self._displaced):
            over = [name for name, expires in barred.items() if expires + CLOCKS_APART.total_seconds() <= now]
            for session_id in over:
                del barred[session_id]
            forgotten += len(over)
        if forgotten:
            self._changed()

    def barred(self, now: float) -> tuple[Sequence[str], Sequence[str]]:
        """Revoked sessions and those without a place, and packages that are held or of deleted assets, for as long as a ticket for
        them may be about; in order."""
        since = now - (LONGEST_LIFETIME + CLOCKS_APART).total_seconds()
        withdrawn = {asset_id for asset_id, moment in self._withdrawn.items() if moment > since}
        packages = {package_id for package_id, playable in self._packages.items() if playable.asset_id in withdrawn}
        return sorted(self._revoked.keys() | self._displaced.keys()), sorted(packages | self._held.keys())

    def package(self, package_id: str) -> Playable | None:
        """A published package; None when it is not known."""
        return self._packages.get(package_id)

    def is_withdrawn(self, asset_id: str) -> bool:
        """Tells whether an asset was deleted."""
        return asset_id in self._withdrawn

    def is_revoked(self, session_id: str) -> bool:
        """Tells whether a session was revoked."""
        return session_id in self._revoked

    def is_displaced(self, session_id: str) -> bool:
        """Tells whether a session lost its place."""
        return session_id in self._displaced


class PackageUnknown(Refusal):
    """A good ticket names a package that is not known here. It may have been published a moment ago by way of another replica."""

    def __init__(self, package_id: str) -> None:
        refusal = refusals.path_invalid(f"{package_id} is not published here")
        super().__init__(refusal.code, refusal.reason, refusal.message, domain=refusal.domain)


@dataclass(frozen=True, slots=True)
class Admission:
    """A request that may go on, as far as can be told from memory.

    Attributes:
        path: path that it goes on with; empty when it keeps its own.
        kind: what is asked for.
        manifest: whether it is a manifest or a playlist.
    """

    session_id: str
    organisation_id: str
    path: str
    kind: paths.Kind
    manifest: bool


class Judge:
    """Judges requests from what is known.

    Args:
        longest_alone: seconds for which what is known may be gone by while the database is away.
    """

    def __init__(self, tickets: Tickets, known: Known, clock: Clock, *, longest_alone: float) -> None:
        self._tickets = tickets
        self._known = known
        self._clock = clock
        self._longest_alone = longest_alone

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
        # A heartbeat is how a session gets its place back.
        package = self._standing(ticket, asked.package_id, placed=asked.kind is not paths.Kind.HEARTBEAT)
        asked.allows(method)
        owned = self._same_owner(ticket, package)
        media = asked.kind is paths.Kind.MEDIA
        return Admission(
            ticket.session_id,
            ticket.organisation_id,
            f"{PUBLISHED}/{asked.package_id}/{self._variant(ticket, owned, asked.file)}{asked.file}" if media else "",
            asked.kind,
            media and asked.file.endswith((".mpd", ".m3u8")),
        )

    def _variant(self, ticket: Ticket, package: Playable, file: str) -> str:
        """Where the session's variant of a watermarked segment lies, below its package; empty for what is not marked."""
        segment = segment_of(file) if package.watermark_segments else None
        if segment is None:
            return ""
        codeword = self._tickets.watermarks.codeword(
            package.asset_id,
            ticket.session_id,
            colluders=package.watermark_colluders,
            segments=package.watermark_segments,
        )
        return f"{variant_of(codeword, segment)}/"

    def heartbeat(self, token: str, package_id: str) -> Ticket:
        """Judges who says that their session still plays.

        Raises:
            Refusal: as above.
        """
        ticket = self._tickets.read(token)
        self._standing(ticket, package_id, placed=False)
        return ticket

    def keys(self, token: str, package_id: str, key_ids: Iterable[str]) -> tuple[Ticket, Sequence[str]]:
        """Judges which of the asked keys the holder of a ticket may have; at least one.

        Raises:
            Refusal: as above, and KEY_NOT_ENTITLED.
        """
        ticket = self._tickets.read(token)
        return ticket, self.keys_of(ticket, package_id, key_ids)

    def ticket(self, token: str) -> Ticket:
        """What a ticket says whose signature is good.

        Raises:
            Refusal: TICKET_INVALID.
        """
        return self._tickets.read(token)

    def keys_of(self, ticket: Ticket, package_id: str, key_ids: Iterable[str], *, every: bool = False) -> Sequence[str]:
        """The same for a ticket that was read; `every`: all keys of the package.

        Raises:
            Refusal: as above.
        """
        package = self._standing(ticket, package_id)
        entitled = self._same_owner(ticket, package).key_ids
        if every and entitled:
            return sorted(entitled)
        asked = list(dict.fromkeys(key_ids))
        granted = [key_id for key_id in asked if key_id in entitled]
        if not granted:
            raise refusals.key_not_entitled(asked[0] if asked else "")
        return granted

    def published(self, package_id: str) -> Playable:
        """A package that may be shown.

        Raises:
            Refusal: ASSET_WITHDRAWN, TITLE_TAKEN_DOWN, PLAYBACK_REVOKED; `PackageUnknown` is worth a second try.
        """
        package = self._known.package(package_id)
        if package is None:
            raise PackageUnknown(package_id)
        if self._known.is_withdrawn(package.asset_id):
            raise refusals.asset_withdrawn(package.asset_id, grpc.StatusCode.PERMISSION_DENIED)
        if held := self._known.held(package_id):
            raise refusals.held(held, package.asset_id)
        return package

    def _standing(self, ticket: Ticket, package_id: str, *, placed: bool = True) -> Playable | None:
        ticket.valid_at(self._clock.now().timestamp())
        if ticket.package_id != package_id:
            raise refusals.ticket_other_package(package_id)
        package = self._known.package(package_id)
        # That the film is gone says more than that its sessions were ended with it.
        if package is not None and self._known.is_withdrawn(package.asset_id):
            raise refusals.asset_withdrawn(package.asset_id, grpc.StatusCode.PERMISSION_DENIED)
        if held := self._known.held(package_id):
            raise refusals.held(held, package.asset_id if package else "")
        if self._known.is_revoked(ticket.session_id):
            raise refusals.session_revoked(ticket.session_id)
        if placed and self._known.is_displaced(ticket.session_id):
            raise refusals.too_many_streams()
        # Whatever is known says yes; but somebody may have been barred since.
        if self._known.alone_for > self._longest_alone:
            raise unavailable("the database")
        return package

    @staticmethod
    def _same_owner(ticket: Ticket, package: Playable | None) -> Playable:
        if package is None:
            raise PackageUnknown(ticket.package_id)
        if package.organisation_id != ticket.organisation_id:
            raise refusals.ticket_invalid()
        return package
