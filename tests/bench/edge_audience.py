"""Thousands of sessions of one film, put into a running install's database, with tickets signed by the install's own key."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple, dataclass, fields
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit

import asyncpg
from reelmesh.policy.v1.policy_service_pb2 import CreatePlaybackResponse

from services.policy.domain import Package, Session, Wanted
from services.policy.tickets import TICKET_KEY_FILE, Tickets
from tests.bench.screening import Screening


@dataclass(frozen=True, slots=True)
class Audience:
    """Sessions of one film.

    Attributes:
        base: paths of the film's package below a ticket: one for each session, then the next for each, as many as there are tickets.
    """

    sessions: Sequence[Session]
    base: Sequence[str]


async def audience(
    ours: Screening, like: CreatePlaybackResponse, count: int, *, tickets_each: int = 1, revoked: bool = False
) -> Audience:
    """Adds so many sessions like one that was opened.

    Args:
        like: gives asset, package and owner.
        tickets_each: how many tickets each has, as if it were renewed.
        revoked: makes them sessions that were revoked two minutes ago but for a moment, and whose tickets would still be good: replicas
            look back two minutes, so they see them once or twice and go on with what they know, as with any that were revoked before.
    """
    layout = ours.mesh.installation.layout
    tickets = Tickets((layout.secrets / TICKET_KEY_FILE).read_bytes(), 1)
    now = datetime.now(UTC)
    package = _package(like, now)
    sessions = [
        Session.opened(package, Wanted(viewer_id=f"bench-{number}", lifetime=timedelta(hours=6)), now)
        for number in range(count)
    ]
    if revoked:
        sessions = [session.revoked(now, "for a measurement") for session in sessions]
    changed = now - timedelta(seconds=112 if revoked else 0)
    connection = await asyncpg.connect(host=str(layout.postgres_socket), user="policy", database="reelmesh")
    try:
        await connection.copy_records_to_table(
            "playback_sessions",
            schema_name="policy",
            records=[(*astuple(session), changed) for session in sessions],
            columns=[*(field.name for field in fields(Session)), "change_time"],
        )
        # As autovacuum does within a minute: a table that is thought to be as small as it was is read from end to end.
        await connection.execute("ANALYZE policy.playback_sessions")
    finally:
        await connection.close()
    shown = (one for _ in range(tickets_each) for one in sessions)
    return Audience(sessions, [f"/p/{tickets.mint(one, now)}/{one.package_id}" for one in shown])


def _package(like: CreatePlaybackResponse, now: datetime) -> Package:
    session = like.session
    return Package(session.package_id, like.session.asset_id, session.organisation_id, "", "", "", "", (), now)


def path_of(url: str) -> str:
    """Path of a URL."""
    return urlsplit(url).path
