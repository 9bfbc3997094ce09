"""Puts the other credentials together."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from reelmesh.policy.v1 import tokens_service_pb2

from services.kit.clock import Clock
from services.kit.database import Database
from services.policy.cat.acceptance import Acceptance, Nowhere, Territory
from services.policy.cat.admission import AccessTokens
from services.policy.cat.keys import CAT_KEYS_FILE, ISSUER, key_ring
from services.policy.cat.store import Sessions, Uses
from services.policy.cdn.settings import CdnSettings, cdns
from services.policy.doors import Doors
from services.policy.follower import Follower
from services.policy.gate import Gate
from services.policy.judge import Judge
from services.policy.previews import PREVIEW_KEYS_FILE, Previews
from services.policy.signals.watching import Watch
from services.policy.tickets import Tickets
from services.policy.tokens.rpc import Means, TokensServicer

CONTRACT = tokens_service_pb2.DESCRIPTOR.services_by_name["TokensService"]


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a process serves of them."""

    doors: Doors
    servicer: TokensServicer


def credentials(
    database: Database,
    clock: Clock,
    *,
    judge: Judge,
    gate: Gate,
    watch: Watch,
    follower: Follower,
    tickets: Tickets,
    secret: Callable[[str], bytes],
    named_cdns: Mapping[str, CdnSettings],
    remembered: int,
    public_url: str,
    territory: Territory | None = None,
) -> Credentials:
    """Reads the keys, by `secret` from their files, and puts everything together.

    `remembered` good tokens, and as many sessions that they name, are kept in memory. `territory` tells where an address is; without one
    nobody can, and tokens that are bound to countries are refused.
    """
    keys = key_ring(secret(CAT_KEYS_FILE))
    acceptance = Acceptance(frozenset({ISSUER, urlsplit(public_url).hostname or ISSUER}), territory or Nowhere())
    tokens = AccessTokens(
        keys, Sessions(database, remembered), Uses(database), acceptance, clock, remembered=remembered
    )
    previews = Previews(secret(PREVIEW_KEYS_FILE), clock)
    doors = Doors(judge, follower, clock, gate=gate, watch=watch, tickets=tickets, tokens=tokens, previews=previews)
    means = Means(tickets, keys, previews, cdns(named_cdns, secret), public_url)
    return Credentials(doors, TokensServicer(database, clock, means, doors))
