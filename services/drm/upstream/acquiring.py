"""The way of a licence that somebody else makes: granted here, fitted to what the player is, ordered, checked, recorded.

Nothing goes to the licence server before the ticket is found good. Keys that need a decryption module in hardware go there only after the
server has said what the player is, which it alone can tell; and what it says with the licence must be the same.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Protocol

from services.drm.licences.granting import Asked, Grant
from services.drm.licences.policy import DropReason, SecurityLevel
from services.drm.licences.refusals import dropped
from services.drm.upstream import refusals
from services.kit.errors import Refusal


class Grants(Protocol):
    """What decides on licences and records them; see `services.drm.licences.granting`."""

    async def granted(self, asked: Asked) -> Grant:
        """Decides, and opens the keys."""
        ...

    async def issued(self, grant: Grant) -> None:
        """Records the licence."""
        ...

    async def refused(self, grant: Grant, refusal: Refusal) -> None:
        """Records that what was granted was refused after all."""
        ...


@dataclass(frozen=True, slots=True)
class Made:
    """A licence that a licence server made.

    Attributes:
        licence: as the player takes it.
        security_level: of the player, as far as the server says.
    """

    licence: bytes = field(repr=False)
    security_level: SecurityLevel


class LicenceServer(Protocol):
    """A licence server, asked about one challenge."""

    @property
    def name(self) -> str:
        """`widevine` or `playready`."""
        ...

    async def inspected(self, grant: Grant) -> SecurityLevel:
        """What the player is that the challenge comes from. No key is told.

        Raises:
            Refusal: as `licensed`.
        """
        ...

    async def licensed(self, grant: Grant) -> Made:
        """A licence for the keys of the grant, and for no others.

        Raises:
            Refusal: UPSTREAM_UNAVAILABLE, UPSTREAM_REFUSED_US, UPSTREAM_REFUSED_PLAYER, UPSTREAM_CONTRADICTED.
        """
        ...


async def licence(grants: Grants, server: LicenceServer, asked: Asked, *, ends: bool = False) -> bytes:
    """A licence for a player. It is recorded when this returns.

    Args:
        grants: decides, and records.
        server: asked about the challenge of the player.
        asked: with the greatest security level that there is: the player's own is found out here.
        ends: the player gives a licence back: there are no keys in the answer, and nothing is issued.

    Raises:
        Refusal: what `grants` or `server` raises; SECURITY_LEVEL_TOO_LOW.
    """
    grant = await grants.granted(asked)
    try:
        if ends:
            return (await server.licensed(grant)).licence
        grant = await _fitted(grant, server)
        made = await server.licensed(grant)
        _check(grant, made.security_level, server.name)
    except Refusal as refusal:
        await grants.refused(grant, refusal)
        raise
    grant = replace(grant, asked=replace(grant.asked, security_level=made.security_level))
    await grants.issued(grant)
    return made.licence


async def _fitted(grant: Grant, server: LicenceServer) -> Grant:
    """The grant, without the keys that the player must not have."""
    if not any(_least(grant, key.label) > SecurityLevel.SOFTWARE for key in grant.keys):
        return grant
    level = await server.inspected(grant)
    found = grant.policy.sorted_out({key.key_id: key.label for key in grant.keys}, level, grant.asked.hdcp)
    fitted = replace(
        grant,
        keys=tuple(key for key in grant.keys if key.key_id in found.kept),
        dropped={**grant.dropped, **found.dropped},
        asked=replace(grant.asked, security_level=level),
    )
    if not fitted.keys:
        labels = sorted({key.label for key in grant.keys})
        raise dropped(DropReason.SECURITY_LEVEL_TOO_LOW, labels, grant.policy.loosest(labels))
    return fitted


def whose(grant: Grant) -> str:
    """Who is behind a request: the viewer, or where that is not known the playback."""
    return grant.viewer_id or grant.session_id


def _check(grant: Grant, level: SecurityLevel, upstream: str) -> None:
    """Withholds a licence with keys that are not for what the server says the player is."""
    if any(_least(grant, key.label) > level for key in grant.keys):
        raise refusals.contradicted(upstream, "the player's security level")


def _least(grant: Grant, label: str) -> SecurityLevel:
    return grant.policy.rule(label).least_security
