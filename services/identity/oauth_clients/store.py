"""The table of OAuth clients, and the built-in ones."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa
import yaml
from reelmesh.identity.v1 import oauth_pb2
from sqlalchemy.dialects.postgresql import ARRAY

from services.identity.oauth_clients.domain import OAuthClient
from services.kit.database import Tx
from services.kit.pagination import Page

_BUILT_IN: Final = Path(__file__).with_name("built_in_clients.yaml")

oauth_clients: Final = sa.Table(
    "oauth_clients",
    sa.MetaData(),
    sa.Column("client_id", sa.Text, primary_key=True),
    sa.Column("organisation_id", sa.Text),
    sa.Column("version", sa.Integer),
    sa.Column("display_name", sa.Text),
    sa.Column("redirect_uris", ARRAY(sa.Text)),
    sa.Column("secret_sha256", sa.LargeBinary),
    sa.Column("grants", ARRAY(sa.SmallInteger)),
    sa.Column("scopes", ARRAY(sa.Text)),
    sa.Column("create_time", sa.DateTime(timezone=True)),
    sa.Column("use_time", sa.DateTime(timezone=True)),
    sa.Column("post_logout_redirect_uris", ARRAY(sa.Text)),
)
_LISTS: Final = ("redirect_uris", "grants", "scopes", "post_logout_redirect_uris")


def _client(row: sa.Row[tuple[Any, ...]]) -> OAuthClient:
    values = row._asdict()
    lists = {name: tuple(values[name]) for name in _LISTS}
    return OAuthClient(**{**values, **lists})


def _values(client: OAuthClient) -> dict[str, Any]:
    values = asdict(client)
    return {**values, **{name: list(values[name]) for name in _LISTS}}


class Clients:
    """All clients.

    Args:
        public_url: where people reach the edge.
    """

    def __init__(self, public_url: str) -> None:
        self.built_in: Mapping[str, OAuthClient] = {
            client_id: OAuthClient(
                client_id=client_id,
                organisation_id="",
                version=0,
                display_name=said["display_name"],
                redirect_uris=tuple(uri.format(public_url=public_url) for uri in said["redirect_uris"]),
                secret_sha256=None,
                grants=tuple(oauth_pb2.OAuthGrant.Value(f"O_AUTH_GRANT_{grant}") for grant in said["grants"]),
                scopes=tuple(said["scopes"]),
            )
            for client_id, said in yaml.safe_load(_BUILT_IN.read_text(encoding="utf-8")).items()
        }

    async def find(self, tx: Tx, client_id: str, *, for_update: bool = False) -> OAuthClient | None:
        """One client; None when there is none."""
        if client_id in self.built_in:
            return self.built_in[client_id]
        query = sa.select(oauth_clients).where(oauth_clients.c.client_id == client_id)
        row = (await tx.execute(query.with_for_update() if for_update else query)).one_or_none()
        return None if row is None else _client(row)

    async def names(self, tx: Tx, client_ids: Iterable[str]) -> Mapping[str, str]:
        """Names of those that there are, by id."""
        query = sa.select(oauth_clients.c.client_id, oauth_clients.c.display_name).where(
            oauth_clients.c.client_id.in_(list(client_ids))
        )
        built_in = {client_id: client.display_name for client_id, client in self.built_in.items()}
        return built_in | {row.client_id: row.display_name for row in await tx.execute(query)}


async def add(tx: Tx, client: OAuthClient) -> None:
    """Keeps a new client."""
    await tx.execute(sa.insert(oauth_clients).values(**_values(client)))


async def put(tx: Tx, client: OAuthClient) -> None:
    """Keeps the next state of a client."""
    await tx.execute(
        sa.update(oauth_clients).where(oauth_clients.c.client_id == client.client_id).values(**_values(client))
    )


async def used(tx: Tx, client_id: str, now: datetime) -> None:
    """Notes that the client got a token for itself."""
    await tx.execute(sa.update(oauth_clients).where(oauth_clients.c.client_id == client_id).values(use_time=now))


async def remove(tx: Tx, client_id: str) -> None:
    """Forgets a client."""
    await tx.execute(sa.delete(oauth_clients).where(oauth_clients.c.client_id == client_id))


async def page(tx: Tx, organisation_id: str, part: Page) -> Sequence[OAuthClient]:
    """One page of an organisation's clients, newest first, and one more to tell whether there is another page."""
    query = (
        sa.select(oauth_clients)
        .where(oauth_clients.c.organisation_id == organisation_id)
        .order_by(oauth_clients.c.client_id.desc())
        .limit(part.size + 1)
    )
    if part.after:
        query = query.where(oauth_clients.c.client_id < part.after)
    return [_client(row) for row in await tx.execute(query)]
