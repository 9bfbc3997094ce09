"""Tables of organisations, memberships and roles."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, insert

from services.identity.organisations.roles import Role, built_in, granted
from services.kit.database import Tx

_METADATA: Final = sa.MetaData()

organisations: Final = sa.Table(
    "organisations",
    _METADATA,
    sa.Column("organisation_id", sa.Text, primary_key=True),
    sa.Column("version", sa.Integer),
    sa.Column("display_name", sa.Text),
    sa.Column("tier", sa.Text),
    sa.Column("create_time", sa.DateTime(timezone=True)),
)
memberships: Final = sa.Table(
    "memberships",
    _METADATA,
    sa.Column("organisation_id", sa.Text, primary_key=True),
    sa.Column("account_id", sa.Text, primary_key=True),
    sa.Column("role_ids", ARRAY(sa.Text)),
    sa.Column("create_time", sa.DateTime(timezone=True)),
)
roles: Final = sa.Table(
    "roles",
    _METADATA,
    sa.Column("role_id", sa.Text, primary_key=True),
    sa.Column("organisation_id", sa.Text),
    sa.Column("version", sa.Integer),
    sa.Column("display_name", sa.Text),
    sa.Column("permissions", ARRAY(sa.Text)),
)


@dataclass(frozen=True, slots=True)
class Organisation:
    """A group of people and what they own together."""

    organisation_id: str
    version: int
    display_name: str
    tier: str
    create_time: datetime


@dataclass(frozen=True, slots=True)
class Membership:
    """A person's place in an organisation."""

    organisation_id: str
    account_id: str
    role_ids: tuple[str, ...]
    create_time: datetime


async def ensure(tx: Tx, organisation: Organisation) -> None:
    """Keeps an organisation unless there is one with its id."""
    await tx.execute(
        insert(organisations)
        .values(
            organisation_id=organisation.organisation_id,
            version=organisation.version,
            display_name=organisation.display_name,
            tier=organisation.tier,
            create_time=organisation.create_time,
        )
        .on_conflict_do_nothing()
    )


async def memberships_of(tx: Tx, account_id: str) -> Sequence[Membership]:
    """Where a person belongs, in the order of joining."""
    query = (
        sa.select(memberships)
        .where(memberships.c.account_id == account_id)
        .order_by(memberships.c.create_time, memberships.c.organisation_id)
    )
    return [
        Membership(row.organisation_id, row.account_id, tuple(row.role_ids), row.create_time)
        for row in await tx.execute(query)
    ]


async def add_member(tx: Tx, membership: Membership) -> bool:
    """Keeps a membership. Returns False when the person is a member already."""
    added = await tx.execute(
        insert(memberships)
        .values(
            organisation_id=membership.organisation_id,
            account_id=membership.account_id,
            role_ids=list(membership.role_ids),
            create_time=membership.create_time,
        )
        .on_conflict_do_nothing()
    )
    return bool(added.rowcount)


async def permissions_of(tx: Tx, membership: Membership) -> frozenset[str]:
    """What a member may do."""
    own = [role_id for role_id in membership.role_ids if role_id not in built_in()]
    held = [built_in()[role_id] for role_id in membership.role_ids if role_id in built_in()]
    if own:
        query = sa.select(roles).where(
            roles.c.organisation_id == membership.organisation_id,
            roles.c.role_id == sa.func.any(sa.cast(own, ARRAY(sa.Text))),
        )
        held += [
            Role(row.role_id, row.organisation_id, row.display_name, tuple(row.permissions), row.version)
            for row in await tx.execute(query)
        ]
    return granted(held)
