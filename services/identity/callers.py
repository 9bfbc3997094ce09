"""Whose call it is, for methods about what is a person's own: the contract lets nobody else in."""

from __future__ import annotations

from services.identity.accounts import store as accounts
from services.identity.accounts.domain import Account
from services.identity.refusals import account_not_found
from services.identity.sessions import store as sessions
from services.identity.sessions.store import Session
from services.kit.access import Principal, credential_invalid
from services.kit.database import Tx
from services.kit.server import current_call


def caller() -> Principal:
    """The calling person."""
    principal = current_call().principal
    assert principal is not None
    return principal


async def own_account(tx: Tx, *, for_update: bool = False) -> Account:
    """The calling person's account. Locked, it keeps other changes of what belongs to it waiting.

    Raises:
        Refusal: NOT_FOUND `ACCOUNT_NOT_FOUND`.
    """
    account = await accounts.find(tx, caller().account_id, for_update=for_update)
    if account is None:
        raise account_not_found(caller().account_id)
    return account


async def own_session(tx: Tx, *, for_update: bool = False) -> Session:
    """The session of the call.

    Raises:
        Refusal: UNAUTHENTICATED `CREDENTIAL_INVALID` when it ended just now.
    """
    session = await sessions.find(tx, caller().session_id, for_update=for_update)
    if session is None or session.end_time is not None:
        raise credential_invalid("the session has ended; sign in again")
    return session
