"""Tables of organisations, memberships and roles."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, insert

from services.identity.organisations.domain import Membership, Organisation
from services.identity.organisations.roles import Role, built_in, granted
from services.kit.database import Tx
from services.kit.pagination import Page, moment_and_id

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


def _organisation(row: sa.Row[tuple[Any, ...]]) -> Organisation:
    return Organisation(**row._asdict())


def _membership(row: sa.Row[tuple[Any, ...]]) -> Membership:
    return Membership(row.organisation_id, row.account_id, tuple(row.role_ids), row.create_time)


def _role(row: sa.Row[tuple[Any, ...]]) -> Role:
    return Role(row.role_id, row.organisation_id, row.display_name, tuple(row.permissions), row.version)


async def find(tx: Tx, organisation_id: str) -> Organisation | None:
    """One organisation; None when there is none."""
    query = sa.select(organisations).where(organisations.c.organisation_id == organisation_id)
    row = (await tx.execute(query)).one_or_none()
    return None if row is None else _organisation(row)


async def locked(tx: Tx, organisation_id: str) -> Organisation | None:
    """One organisation, locked: whoever changes members or roles holds this lock, so that two changes see each other. It does not keep
    anybody from registering."""
    query = sa.select(organisations).where(organisations.c.organisation_id == organisation_id)
    row = (await tx.execute(query.with_for_update(key_share=True))).one_or_none()
    return None if row is None else _organisation(row)


async def page_of(tx: Tx, account_id: str, part: Page) -> Sequence[tuple[Organisation, str]]:
    """One page of the organisations that a person belongs to, in the order of joining, and one more to tell whether there is another page;
    each with its place in the list."""
    query = (
        sa.select(organisations, memberships.c.create_time.label("join_time"))
        .join(memberships, memberships.c.organisation_id == organisations.c.organisation_id)
        .where(memberships.c.account_id == account_id)
        .order_by(memberships.c.create_time, memberships.c.organisation_id)
        .limit(part.size + 1)
    )
    if part.after:
        place = sa.tuple_(memberships.c.create_time, memberships.c.organisation_id)
        query = query.where(place > sa.tuple_(*moment_and_id(part.after)))
    return [
        (
            Organisation(row.organisation_id, row.version, row.display_name, row.tier, row.create_time),
            f"{row.join_time.isoformat()} {row.organisation_id}",
        )
        for row in await tx.execute(query)
    ]


async def put(tx: Tx, organisation: Organisation) -> None:
    """Keeps the next state of an organisation."""
    await tx.execute(
        sa.update(organisations)
        .where(organisations.c.organisation_id == organisation.organisation_id)
        .values(**asdict(organisation))
    )


async def memberships_of(tx: Tx, account_id: str, *, kept: bool = False) -> Sequence[Membership]:
    """Where a person belongs, in the order of joining.

    Args:
        tx: the transaction.
        account_id: the person.
        kept: whether nobody may end these memberships or change their roles before the transaction has ended, because a token is being
            made of them.
    """
    query = (
        sa.select(memberships)
        .where(memberships.c.account_id == account_id)
        .order_by(memberships.c.create_time, memberships.c.organisation_id)
    )
    return [_membership(row) for row in await tx.execute(query.with_for_update(read=True) if kept else query)]


async def add_member(tx: Tx, membership: Membership) -> bool:
    """Keeps a membership. Returns False when the person is a member already."""
    added = await tx.execute(
        insert(memberships)
        .values(**{**asdict(membership), "role_ids": list(membership.role_ids)})
        .on_conflict_do_nothing()
    )
    return bool(added.rowcount)


async def membership(tx: Tx, organisation_id: str, account_id: str, *, for_update: bool = False) -> Membership | None:
    """A person's place in an organisation; None when there is none."""
    query = sa.select(memberships).where(
        memberships.c.organisation_id == organisation_id, memberships.c.account_id == account_id
    )
    row = (await tx.execute(query.with_for_update() if for_update else query)).one_or_none()
    return None if row is None else _membership(row)


async def put_roles(tx: Tx, changed: Membership) -> None:
    """Keeps the roles of a member."""
    await tx.execute(
        sa.update(memberships)
        .where(memberships.c.organisation_id == changed.organisation_id, memberships.c.account_id == changed.account_id)
        .values(role_ids=list(changed.role_ids))
    )


async def remove_member(tx: Tx, organisation_id: str, account_id: str) -> None:
    """Forgets a membership."""
    await tx.execute(
        sa.delete(memberships).where(
            memberships.c.organisation_id == organisation_id, memberships.c.account_id == account_id
        )
    )


async def holders(tx: Tx, organisation_id: str, role_id: str) -> Sequence[str]:
    """Accounts of all members with a role, in one order."""
    query = (
        sa.select(memberships.c.account_id)
        .where(memberships.c.organisation_id == organisation_id, memberships.c.role_ids.contains([role_id]))
        .order_by(memberships.c.account_id)
    )
    return list((await tx.execute(query)).scalars())


async def roles_named(tx: Tx, organisation_id: str, role_ids: Sequence[str], *, kept: bool = False) -> Sequence[Role]:
    """Those of the named roles that the organisation can give, built-in ones included. `kept` as in `memberships_of`."""
    own = [role_id for role_id in role_ids if role_id not in built_in()]
    found = [built_in()[role_id] for role_id in role_ids if role_id in built_in()]
    if own:
        query = sa.select(roles).where(
            roles.c.organisation_id == organisation_id, roles.c.role_id == sa.func.any(sa.cast(own, ARRAY(sa.Text)))
        )
        found += [_role(row) for row in await tx.execute(query.with_for_update(read=True) if kept else query)]
    return found


async def permissions_of(tx: Tx, member: Membership, *, kept: bool = False) -> frozenset[str]:
    """What a member may do. `kept` as in `memberships_of`."""
    return granted(await roles_named(tx, member.organisation_id, member.role_ids, kept=kept))


async def page_of_roles(tx: Tx, organisation_id: str, part: Page) -> Sequence[Role]:
    """One page of the roles that an organisation can give, by id, and one more to tell whether there is another page."""
    by_id = roles.c.role_id.collate("C")
    query = sa.select(roles).where(roles.c.organisation_id == organisation_id).order_by(by_id).limit(part.size + 1)
    if part.after:
        query = query.where(by_id > part.after)
    own = [_role(row) for row in await tx.execute(query)]
    shared = [role for role_id, role in built_in().items() if role_id > part.after]
    return sorted([*own, *shared], key=lambda role: role.role_id)[: part.size + 1]


async def own_role(tx: Tx, organisation_id: str, role_id: str) -> Role | None:
    """A role of the organisation's own, locked; None when there is none."""
    query = sa.select(roles).where(roles.c.organisation_id == organisation_id, roles.c.role_id == role_id)
    row = (await tx.execute(query.with_for_update())).one_or_none()
    return None if row is None else _role(row)


async def add_role(tx: Tx, role: Role) -> None:
    """Keeps a new role."""
    await tx.execute(sa.insert(roles).values(**{**asdict(role), "permissions": list(role.permissions)}))


async def put_role(tx: Tx, role: Role) -> None:
    """Keeps the next state of a role."""
    values = {**asdict(role), "permissions": list(role.permissions)}
    await tx.execute(sa.update(roles).where(roles.c.role_id == role.role_id).values(**values))


async def remove_role(tx: Tx, role_id: str) -> None:
    """Forgets a role."""
    await tx.execute(sa.delete(roles).where(roles.c.role_id == role_id))
