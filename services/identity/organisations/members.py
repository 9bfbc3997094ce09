"""Who belongs to an organisation: let in, given roles, let go."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import sqlalchemy as sa
from reelmesh.identity.v1 import events_pb2

from services.identity.accounts import store as accounts
from services.identity.accounts.domain import Account, canonical_email
from services.identity.organisations import store
from services.identity.organisations.authority import Authority
from services.identity.organisations.domain import (
    Membership,
    email_unknown,
    last_admin,
    member_exists,
    member_not_found,
    role_not_found,
    without_repeats,
)
from services.identity.organisations.roles import ADMIN, granted
from services.identity.sessions.keeping import Sessions
from services.identity.trust.feed import TrustFeed
from services.kit.clock import Clock, timestamp
from services.kit.database import Tx
from services.kit.events import announce
from services.kit.pagination import Page, moment_and_id


@dataclass(frozen=True, slots=True)
class Member:
    """A membership, and by what its person is known."""

    membership: Membership
    email: str
    display_name: str

    @property
    def key(self) -> str:
        """Its place in the list of members."""
        return f"{self.membership.create_time.isoformat()} {self.membership.account_id}"


async def page(tx: Tx, organisation_id: str, role_id: str, part: Page) -> Sequence[Member]:
    """One page of members in the order of joining, and one more to tell whether there is another page."""
    table, people = store.memberships, accounts.accounts
    query = (
        sa.select(table, people.c.email, people.c.display_name)
        .join(people, people.c.account_id == table.c.account_id)
        .where(table.c.organisation_id == organisation_id)
        .order_by(table.c.create_time, table.c.account_id)
        .limit(part.size + 1)
    )
    if role_id:
        query = query.where(table.c.role_ids.contains([role_id]))
    if part.after:
        query = query.where(sa.tuple_(table.c.create_time, table.c.account_id) > sa.tuple_(*moment_and_id(part.after)))
    return [
        Member(
            Membership(row.organisation_id, row.account_id, tuple(row.role_ids), row.create_time),
            row.email,
            row.display_name,
        )
        for row in await tx.execute(query)
    ]


class Members:
    """Changes memberships. Each method works in the caller's transaction, which holds the lock of the organisation."""

    def __init__(self, clock: Clock, sessions: Sessions, feed: TrustFeed) -> None:
        self._clock = clock
        self._sessions = sessions
        self._feed = feed

    async def account_with(self, tx: Tx, email: str) -> Account:
        """The account of an address.

        Raises:
            Refusal: INVALID_ARGUMENT `EMAIL_INVALID`, NOT_FOUND `EMAIL_UNKNOWN`.
        """
        address = canonical_email(email)
        account = await accounts.find_by_email(tx, address)
        if account is None:
            raise email_unknown(address)
        return account

    async def joined(
        self, tx: Tx, organisation_id: str, account: Account, role_ids: Sequence[str], actor: str
    ) -> Member:
        """Makes a person a member.

        Raises:
            Refusal: ALREADY_EXISTS `MEMBER_EXISTS`.
        """
        membership = Membership(organisation_id, account.account_id, without_repeats(role_ids), self._clock.now())
        if not await store.add_member(tx, membership):
            raise member_exists(account.account_id)
        await self._announce(tx, membership, actor)
        return Member(membership, account.email, account.display_name)

    async def check_gives(self, tx: Tx, role_ids: Sequence[str], authority: Authority) -> None:
        """Refuses roles that there are not, and those with more than the caller holds.

        Raises:
            Refusal: NOT_FOUND `ROLE_NOT_FOUND`, PERMISSION_DENIED `PERMISSION_NOT_HELD`.
        """
        found = await store.roles_named(tx, authority.caller.organisation_id, role_ids)
        for role_id in role_ids:
            if role_id not in {role.role_id for role in found}:
                raise role_not_found(role_id)
        authority.check(granted(found))

    async def changed(self, tx: Tx, account_id: str, role_ids: Sequence[str], authority: Authority) -> Member:
        """Sets the roles of a member; tokens with the old permissions stop working.

        Raises:
            Refusal: `MEMBER_NOT_FOUND`, `ROLE_NOT_FOUND`, `PERMISSION_NOT_HELD`, `LAST_ADMIN`.
        """
        before = await self._member(tx, authority.caller.organisation_id, account_id)
        await self.check_gives(tx, role_ids, authority)
        after = replace(before, role_ids=without_repeats(role_ids))
        if after != before:
            authority.check(await store.permissions_of(tx, before))
            if before.admin and not after.admin:
                await self._check_another_admin(tx, before)
            await store.put_roles(tx, after)
            await self._feed.revoke(tx, account_id)
            await self._announce(tx, after, authority.caller.name)
        account = await accounts.find(tx, account_id)
        assert account is not None
        return Member(after, account.email, account.display_name)

    async def left(self, tx: Tx, account_id: str, authority: Authority) -> None:
        """Ends a membership and the sessions that act for the organisation. Nothing happens where there is none.

        Raises:
            Refusal: `PERMISSION_NOT_HELD`, `LAST_ADMIN`.
        """
        organisation_id = authority.caller.organisation_id
        # Sessions before the membership, as they are locked where a token is refreshed.
        await self._sessions.end_acting_for(tx, account_id, organisation_id)
        before = await store.membership(tx, organisation_id, account_id, for_update=True)
        if before is None:
            return
        authority.check(await store.permissions_of(tx, before))
        if before.admin:
            await self._check_another_admin(tx, before)
        await store.remove_member(tx, organisation_id, account_id)
        # A session that acts for another organisation now may still have a token for this one.
        await self._feed.revoke(tx, account_id)
        await self._announce(tx, replace(before, role_ids=()), authority.caller.name)

    async def _member(self, tx: Tx, organisation_id: str, account_id: str) -> Membership:
        found = await store.membership(tx, organisation_id, account_id, for_update=True)
        if found is None:
            raise member_not_found(account_id)
        return found

    async def _check_another_admin(self, tx: Tx, but: Membership) -> None:
        """Refuses to take the last admin who can sign in. The lock of the organisation keeps the others from leaving meanwhile."""
        table, people = store.memberships, accounts.accounts
        others = (
            sa.select(table.c.account_id)
            .join(people, people.c.account_id == table.c.account_id)
            .where(
                table.c.organisation_id == but.organisation_id,
                table.c.account_id != but.account_id,
                table.c.role_ids.contains([ADMIN]),
                people.c.lock_time.is_(None),
            )
            .limit(1)
        )
        if (await tx.execute(others)).one_or_none() is None:
            raise last_admin()

    async def _announce(self, tx: Tx, membership: Membership, actor: str) -> None:
        await announce(
            tx,
            events_pb2.MemberRolesChanged(
                organisation_id=membership.organisation_id,
                account_id=membership.account_id,
                role_ids=membership.role_ids,
                actor=actor,
                change_time=timestamp(self._clock.now()),
            ),
        )
