"""Registering, and setting a password that was forgotten: by a code that is sent to the address."""

from __future__ import annotations

from datetime import datetime

import grpc
from reelmesh.identity.v1 import events_pb2, identity_pb2

from services.identity.accounts import store
from services.identity.accounts.domain import FIRST_TIER, Account, canonical_email
from services.identity.accounts.mailing import Mailing
from services.identity.codes import Code, Codes
from services.identity.messages import NOWHERE, Messages, OutgoingMessage
from services.identity.organisations import store as organisations
from services.identity.organisations.domain import Membership
from services.identity.organisations.roles import VIEWER
from services.identity.passwords import Passwords
from services.identity.refusals import refusal
from services.identity.sessions.keeping import Person, Sessions
from services.kit.clock import Clock, timestamp
from services.kit.database import Database, Tx
from services.kit.events import announce
from services.kit.ids import new_id
from services.kit.server import Client

REGISTRATION = "reg"
RESET = "rst"


class Joining:
    """Lets people in for the first time, and again when they forgot their password.

    Args:
        home_organisation_id: organisation that whoever registers joins, as a viewer.
        registration_open: whether anybody may register.
        mailing: sends messages to who only says that an address is theirs.
    """

    def __init__(
        self,
        database: Database,
        clock: Clock,
        *,
        codes: Codes,
        mailing: Mailing,
        messages: Messages,
        passwords: Passwords,
        sessions: Sessions,
        home_organisation_id: str,
        registration_open: bool,
    ) -> None:
        self._database = database
        self._clock = clock
        self._codes = codes
        self._mailing = mailing
        self._messages = messages
        self._passwords = passwords
        self._sessions = sessions
        self._home = home_organisation_id
        self._open = registration_open

    async def begin(self, email: str, password: str, display_name: str, language: str, client: Client) -> Code:
        """Sends a code to the address, or the news that there is an account already, or nothing when it was sent too much lately. All
        three look the same from outside.

        Raises:
            Refusal: `REGISTRATION_CLOSED`, `PASSWORD_WEAK`, `SENT_TOO_OFTEN`.
        """
        if not self._open:
            message = "registration is closed here; ask for an invitation"
            raise refusal(grpc.StatusCode.FAILED_PRECONDITION, "REGISTRATION_CLOSED", message)
        address = canonical_email(email)
        await self._passwords.check("password", password, [address, address.split("@", 1)[0], display_name])
        await self._mailing.asked(client.network)
        password_hash = await self._passwords.hash(password)
        now = self._clock.now()
        async with self._database.transaction() as tx:
            known = await store.find_by_email(tx, address)
            may = await self._mailing.may_arrive(tx, address)
            purpose = {
                "email": address,
                "password_hash": password_hash,
                "display_name": display_name,
                "language": language,
            }
            code = await self._codes.make(tx, REGISTRATION, purpose if may and not known else None, now)
            to = address if may else ""
            if known:
                await self._send(tx, to, "account-exists", known.language, {})
            else:
                await self._send(tx, to, "verify-email", language, {"code": code.text})
        return code

    async def ended(
        self, tx: Tx, registration_id: str, text: str, client: Client
    ) -> tuple[Account, identity_pb2.Tokens] | None:
        """Makes the account of a registration and signs it in; None when the code is not right, which must be committed."""
        now = self._clock.now()
        purpose = await self._codes.redeem(tx, registration_id, text, now)
        if purpose is None:
            return None
        account = Account(
            account_id=new_id("usr"),
            version=1,
            email=purpose["email"],
            password_hash=purpose["password_hash"],
            display_name=purpose["display_name"],
            phone="",
            language=purpose["language"],
            tier=FIRST_TIER,
            create_time=now,
        )
        if not await store.add(tx, account):
            return None  # another registration for the same address was quicker
        await self._mailing.used(tx, account.email, client.network)
        await self.joined(tx, account, now)
        tokens = await self._sessions.open(
            tx, Person(account.account_id, account.tier), identity_pb2.SIGN_IN_METHOD_PASSWORD, client
        )
        return account, tokens

    async def joined(self, tx: Tx, account: Account, now: datetime) -> None:
        """Makes a new account a viewer of the home organisation, and announces it."""
        await organisations.add_member(tx, Membership(self._home, account.account_id, (VIEWER,), now))
        await announce(
            tx,
            events_pb2.AccountCreated(
                account_id=account.account_id,
                organisation_id=self._home,
                tier=account.tier,
                create_time=timestamp(now),
            ),
        )

    async def begin_reset(self, email: str, client: Client) -> Code:
        """Sends a code to the address, if there is an account, and it was not sent too much lately. It looks the same from outside.

        Raises:
            Refusal: `SENT_TOO_OFTEN`.
        """
        address, now = canonical_email(email), self._clock.now()
        await self._mailing.asked(client.network)
        async with self._database.transaction() as tx:
            account = await store.find_by_email(tx, address)
            may = await self._mailing.may_arrive(tx, address)
            purpose = {"account_id": account.account_id} if account and may else None
            code = await self._codes.make(tx, RESET, purpose, now)
            language = account.language if account else ""
            await self._send(tx, address if purpose else "", "reset-password", language, {"code": code.text})
        return code

    async def check_new(self, field: str, password: str, account: Account | None = None) -> str:
        """The hash of a new password.

        Raises:
            Refusal: `PASSWORD_WEAK`.
        """
        personal = [account.email, account.email.split("@", 1)[0], account.display_name] if account else []
        await self._passwords.check(field, password, personal)
        return await self._passwords.hash(password)

    async def reset(self, tx: Tx, reset_id: str, text: str, password_hash: str, client: Client) -> bool:
        """Sets the password of whoever asked for a reset and ends all sessions. Returns False when the code is not right, which must be
        committed."""
        purpose = await self._codes.redeem(tx, reset_id, text, self._clock.now())
        account = await store.find(tx, purpose["account_id"], for_update=True) if purpose else None
        if account is None:
            return False
        await self.set_password(tx, account, password_hash, reset=True)
        await self._mailing.used(tx, account.email, client.network)
        return True

    async def set_password(
        self, tx: Tx, account: Account, password_hash: str, *, reset: bool, keep_session: str = ""
    ) -> None:
        """Sets a password, ends all sessions but one, and tells the person."""
        now = self._clock.now()
        await store.put(tx, account.with_password(password_hash))
        await self._sessions.end_all(tx, account.account_id, events_pb2.SESSION_END_PASSWORD_CHANGED, but=keep_session)
        await announce(
            tx,
            events_pb2.PasswordChanged(account_id=account.account_id, reset=reset, change_time=timestamp(now)),
        )
        await self._send(tx, account.email, "password-changed", account.language, {})

    async def _send(self, tx: Tx, to: str, template: str, language: str, parameters: dict[str, str]) -> None:
        """Sends a text. To nobody where `to` is empty, in as many steps."""
        message = OutgoingMessage("email" if to else NOWHERE, to, template, language, parameters)
        await self._messages.put(tx, message, self._clock.now())
