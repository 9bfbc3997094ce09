"""Rules of organisations, memberships and roles of an organisation's own."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

import grpc

from services.identity.organisations.roles import ADMIN, built_in, checked_name
from services.identity.refusals import etag_mismatch, field_not_updatable, refusal
from services.kit.errors import Refusal

FIRST_TIER: Final = "standard"
_RENAMABLE: Final = ("display_name",)


@dataclass(frozen=True, slots=True)
class Organisation:
    """A group of people and what they own together."""

    organisation_id: str
    version: int
    display_name: str
    tier: str
    create_time: datetime

    @property
    def etag(self) -> str:
        """Version as the contract shows it."""
        return str(self.version)

    def changed(self, paths: Sequence[str], etag: str, display_name: str) -> Organisation:
        """The organisation with what its members may change, for whoever last saw it in this state.

        Raises:
            Refusal: ABORTED `ETAG_MISMATCH`, INVALID_ARGUMENT `FIELD_NOT_UPDATABLE` or `REQUEST_INVALID`.
        """
        if etag and etag != self.etag:
            raise etag_mismatch("the organisation", self.etag)
        for path in paths:
            if path not in _RENAMABLE:
                raise field_not_updatable(path, ", ".join(_RENAMABLE))
        return replace(
            self,
            version=self.version + 1,
            display_name=checked_name("organisation.display_name", display_name) if paths else self.display_name,
        )


@dataclass(frozen=True, slots=True)
class Membership:
    """A person's place in an organisation."""

    organisation_id: str
    account_id: str
    role_ids: tuple[str, ...]
    create_time: datetime

    @property
    def admin(self) -> bool:
        """Whether the member is one whom the organisation cannot be without."""
        return ADMIN in self.role_ids


def check_not_built_in(role_id: str) -> None:
    """Refuses to change a role that all organisations share.

    Raises:
        Refusal: FAILED_PRECONDITION `ROLE_BUILT_IN`.
    """
    if role_id in built_in():
        raise refusal(
            grpc.StatusCode.FAILED_PRECONDITION,
            "ROLE_BUILT_IN",
            f"the role {role_id} is built in and stays as it is; make one of your own",
            role_id=role_id,
        )


def without_repeats(role_ids: Iterable[str]) -> tuple[str, ...]:
    """Ids of roles in the order in which they are kept, so that the same roles are always equal."""
    return tuple(sorted(set(role_ids)))


def member_not_found(account_id: str) -> Refusal:
    """Nobody, or nobody of this organisation."""
    message = f"{account_id} is not a member of the organisation"
    return refusal(grpc.StatusCode.NOT_FOUND, "MEMBER_NOT_FOUND", message, account_id=account_id)


def member_exists(account_id: str) -> Refusal:
    """To be changed by SetMemberRoles."""
    message = f"{account_id} is a member already; change their roles with SetMemberRoles"
    return refusal(grpc.StatusCode.ALREADY_EXISTS, "MEMBER_EXISTS", message, account_id=account_id)


def last_admin() -> Refusal:
    """Somebody must be left who can let others in."""
    message = "the organisation would be left without an admin; make somebody else an admin first"
    return refusal(grpc.StatusCode.FAILED_PRECONDITION, "LAST_ADMIN", message)


def role_not_found(role_id: str) -> Refusal:
    """None, or none that this organisation can give."""
    message = f"there is no role {role_id}; ListRoles has those that there are"
    return refusal(grpc.StatusCode.NOT_FOUND, "ROLE_NOT_FOUND", message, role_id=role_id)


def role_in_use(role_id: str) -> Refusal:
    """Its holders would lose what nobody meant to take from them."""
    message = f"somebody still has the role {role_id}; take it from them first (ListMembers tells who)"
    return refusal(grpc.StatusCode.FAILED_PRECONDITION, "ROLE_IN_USE", message, role_id=role_id)


def email_unknown(email: str) -> Refusal:
    """Whoever is to be let in registers first."""
    message = f"nobody has registered with {email}; ask them to register, then try again"
    return refusal(grpc.StatusCode.NOT_FOUND, "EMAIL_UNKNOWN", message, email=email)
