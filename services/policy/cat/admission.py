"""From an access token to the right to play: who holds a good one may have what a ticket for the same session would give.

A token names its session in `sub`, and so ends with it and is revoked with it. What package that session plays is looked up: a token has no
say in it.
"""

from __future__ import annotations

import ipaddress
import secrets
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final, TypeVar

from services.kit.clock import Clock
from services.kit.ids import is_id
from services.policy import token_refusals as refusals
from services.policy.cat import claims as reading
from services.policy.cat import cose
from services.policy.cat.acceptance import Acceptance, Asked
from services.policy.cat.claims import Claims, Reuse
from services.policy.cat.cose import Key, KeyRing, Payload
from services.policy.cat.keys import ISSUER
from services.policy.cat.renewal import Carrier
from services.policy.cat.store import Sessions, Uses
from services.policy.domain import Session
from services.policy.tickets import Ticket

_Name = TypeVar("_Name")
_Value = TypeVar("_Value")
_TOKEN_ID: Final = 12
"""Random bytes of `cti`."""


@dataclass(frozen=True, slots=True)
class Holder:
    """Whoever showed a good token.

    Attributes:
        ticket: what a ticket of the session would say, but not longer than the token lasts.
        renewed: header of the answer with a new token; None when the old one is good for a while.
    """

    ticket: Ticket
    session: Session
    renewed: tuple[str, str] | None


class AccessTokens:
    """Judges tokens, and renews them.

    Args:
        remembered: how many good tokens, and networks of tokens that are bound to their first, are kept in memory.
    """

    def __init__(
        self, keys: KeyRing, sessions: Sessions, uses: Uses, acceptance: Acceptance, clock: Clock, *, remembered: int
    ) -> None:
        self._keys = keys
        self._sessions = sessions
        self._uses = uses
        self._acceptance = acceptance
        self._clock = clock
        self._remembered = remembered
        self._opened: OrderedDict[str, tuple[Claims, Key, Payload]] = OrderedDict()
        self._seen_from: OrderedDict[tuple[str, bytes], str] = OrderedDict()

    async def holder(self, token: str, carrier: Carrier, asked: Asked, *, judged: Callable[[Ticket], object]) -> Holder:
        """Judges a token.

        `judged` judges what its session may have, and raises a refusal; only after it is a token used up.

        Raises:
            Refusal: one of the `ACCESS_TOKEN_…` reasons, or one of `judged`.
        """
        claims, key, payload = self._read(token)
        now = self._clock.now().timestamp()
        self._acceptance.check(claims, key, asked, now)
        if claims.expires is None:
            raise refusals.access_token_claim_unsupported("exp")
        if not is_id("pbs", claims.subject):
            raise refusals.access_token_claim_unsupported("sub")
        session = await self._sessions.find(claims.subject)
        if session is None:
            raise refusals.access_token_claim_unmet("sub")
        ends = min(claims.expires, session.expire_time.timestamp())
        ticket = Ticket(session.session_id, session.package_id, session.organisation_id, ends)
        judged(ticket)
        await self._used(claims, key, asked)
        ends_with = session.expire_time.timestamp()
        return Holder(ticket, session, self._renewed((claims, key, payload), ends_with, carrier, now))

    def _read(self, token: str) -> tuple[Claims, Key, Payload]:
        known = self._opened.get(token)
        if known is not None:
            self._opened.move_to_end(token)
            return known
        try:
            payload, key = cose.opened(token, self._keys)
        except cose.Malformed as error:
            raise refusals.access_token_invalid() from error
        found = reading.read(payload), key, payload
        _keep(self._opened, token, found, self._remembered)
        return found

    async def _used(self, claims: Claims, key: Key, asked: Asked) -> None:
        if claims.reuse is Reuse.PERMITTED:
            return
        if not claims.token_id or claims.expires is None:
            raise refusals.access_token_claim_unsupported("cti")
        if claims.reuse is Reuse.DETECTED:
            name, network = (key.key_id, claims.token_id), _network(asked.address)
            first = self._seen_from.get(name, network)
            if not network or first != network:
                raise refusals.access_token_reused()
            _keep(self._seen_from, name, first, self._remembered)
        elif not await self._uses.first(key.key_id, claims.token_id, claims.expires):
            raise refusals.access_token_reused()

    @staticmethod
    def _renewed(
        token: tuple[Claims, Key, Payload], session_ends: float, carrier: Carrier, now: float
    ) -> tuple[str, str] | None:
        """A new token, never for longer than the session, and only in place of one of our own."""
        claims, key, payload = token
        renewal, expires = claims.renewal, claims.expires
        if (
            renewal is None
            or expires is None
            or not key.signs
            or claims.issuer != ISSUER
            or not renewal.due(now, expires)
        ):
            return None
        ends = min(int(now + renewal.lasts), int(session_ends))
        if ends <= expires or renewal.header(carrier, "") is None:
            return None
        fresh = replace(claims, expires=ends, starts=None, issued=int(now), token_id=secrets.token_bytes(_TOKEN_ID))
        # What cannot be written anew, such as conditions on headers, is taken over as it stands.
        return renewal.header(carrier, cose.sealed({**payload, **fresh.written()}, key))


def minted(claims: Claims, key: Key, now: float) -> str:
    """A new token of ours.

    Raises:
        Refusal: ACCESS_TOKEN_TOO_LONG.
    """
    said = replace(claims, issuer=ISSUER, issued=int(now), token_id=secrets.token_bytes(_TOKEN_ID))
    token = cose.sealed(said.written(), key)
    if len(token) > cose.LONGEST:
        raise refusals.access_token_too_long()
    return token


def _network(address: str) -> str:
    """An address cut to the network that one household has: /24 of IPv4, /48 of IPv6. Empty when it is none."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return ""
    return str(ipaddress.ip_network((found, 24 if found.version == 4 else 48), strict=False))


def _keep(kept: OrderedDict[_Name, _Value], name: _Name, value: _Value, most: int) -> None:
    kept[name] = value
    kept.move_to_end(name)
    if len(kept) > most:
        kept.popitem(last=False)
