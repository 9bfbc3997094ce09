"""What a caller may give to others, and take from them: nothing that they do not hold themselves."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from services.identity.organisations import store
from services.identity.organisations.roles import EVERYTHING, methods_by_permission, permission_not_held
from services.kit.access import Principal, Rule
from services.kit.database import Tx


@dataclass(frozen=True, slots=True)
class Authority:
    """What a caller holds at this very moment.

    Attributes:
        caller: who it is.
        held: permissions, spelt out.
    """

    caller: Principal
    held: frozenset[str]

    def check(self, permissions: Iterable[str]) -> None:
        """Refuses to give, or to take, what the caller does not hold.

        Raises:
            Refusal: PERMISSION_DENIED `PERMISSION_NOT_HELD`.
        """
        lacking = sorted(set(permissions) - self.held)
        if lacking:
            raise permission_not_held(lacking[0])


async def authority_of(tx: Tx, principal: Principal, needed: str) -> Authority:
    """What a caller holds. For a person not only what the token says, which may be minutes old, but also what their roles are now. Under
    the lock of the organisation (`store.locked`) two people who take each other's roles away are put in a row by it.

    Args:
        tx: the transaction.
        principal: the caller.
        needed: the permission that the method asks for.

    Raises:
        Refusal: PERMISSION_DENIED `PERMISSION_MISSING` when the caller has lost it in the meantime.
    """
    held = principal.permissions
    if EVERYTHING in held:
        held = frozenset(methods_by_permission())
    if principal.account_id:
        member = await store.membership(tx, principal.organisation_id, principal.account_id)
        held &= await store.permissions_of(tx, member) if member else frozenset()
    Rule(permission=needed).check(Principal(principal.name, permissions=held))
    return Authority(principal, held)
