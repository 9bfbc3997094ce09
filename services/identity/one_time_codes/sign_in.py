"""Signing in by a code, without telling whether there is an account and without letting anybody guess."""

from __future__ import annotations

from reelmesh.identity.v1 import events_pb2, identity_pb2

from services.identity import attempts
from services.identity.accounts import store
from services.identity.accounts.domain import Account, canonical_email
from services.identity.attempts import Guess
from services.identity.codes import Code, Codes
from services.identity.one_time_codes.phones import canonical_phone
from services.identity.one_time_codes.sending import CodeSending, Recipient
from services.identity.refusals import account_locked, code_invalid, too_many_attempts
from services.identity.sessions.keeping import Person, Sessions
from services.kit.clock import Clock, timestamp
from services.kit.database import Database, Tx
from services.kit.errors import Refusal
from services.kit.events import announce
from services.kit.sealing import Seal
from services.kit.server import Client

SIGN_IN = "sgn"


class CodeSignIn:
    """Lets people in by codes."""

    def __init__(
        self, database: Database, clock: Clock, *, seal: Seal, codes: Codes, sending: CodeSending, sessions: Sessions
    ) -> None:
        self._database = database
        self._clock = clock
        self._seal = seal
        self._codes = codes
        self._sending = sending
        self._sessions = sessions

    async def begin(self, email: str, phone: str, client: Client) -> Code:
        """Sends a code to an address or a number that has an account; to others nothing, in the same way.

        Raises:
            Refusal: `EMAIL_INVALID`, `PHONE_INVALID`, `SENT_TOO_OFTEN`.
        """
        address = canonical_phone(phone) if phone else canonical_email(email)
        async with self._database.transaction() as tx:
            found = await (store.find_by_phone if phone else store.find_by_email)(tx, address)
            return await self._sending.sent(
                tx,
                SIGN_IN,
                "sign-in-code",
                Recipient("sms" if phone else "email", address, found.language if found else ""),
                purpose={"account_id": found.account_id, "to": address} if found else None,
                network=client.network,
            )

    async def ended(
        self, tx: Tx, sign_in_id: str, text: str, organisation_id: str, client: Client
    ) -> identity_pb2.Tokens | Refusal:
        """Opens a session for who has the code. Returns why not, when it is not right, which must be committed.

        Raises:
            Refusal: `ORGANISATION_NOT_FOUND`; the code stays good.
        """
        now = self._clock.now()
        guess = Guess.of(self._seal, sign_in_id, client.network)
        if wait := await attempts.begin(tx, guess, now):
            return await self._refused(tx, None, too_many_attempts(wait), client)
        purpose = await self._codes.redeem(tx, sign_in_id, text, now)
        account = await store.find(tx, purpose["account_id"], for_update=True) if purpose else None
        # The address or number may have become another account's since.
        if account is None or purpose is None or purpose["to"] not in {account.email, account.phone}:
            return await self._refused(tx, None, code_invalid(), client)
        await attempts.forgive(tx, guess)
        await self._sending.used(tx, purpose["to"], client.network)
        if account.lock_time:
            return await self._refused(tx, account, account_locked(), client)
        return await self._sessions.open(
            tx,
            Person(account.account_id, account.tier),
            identity_pb2.SIGN_IN_METHOD_CODE,
            client,
            organisation_id=organisation_id,
        )

    async def _refused(self, tx: Tx, account: Account | None, why: Refusal, client: Client) -> Refusal:
        await announce(
            tx,
            events_pb2.SignInRefused(
                account_id=account.account_id if account else "",
                method=identity_pb2.SIGN_IN_METHOD_CODE,
                reason=why.reason,
                network=client.network,
                refuse_time=timestamp(self._clock.now()),
            ),
        )
        return why
