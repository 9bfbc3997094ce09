"""Signing in by address and password, without telling which was wrong and without letting anybody guess quickly."""

from __future__ import annotations

from dataclasses import replace

from reelmesh.identity.v1 import events_pb2, identity_pb2

from services.identity import attempts
from services.identity.accounts import store
from services.identity.accounts.domain import Account, canonical_email
from services.identity.attempts import Guess
from services.identity.passwords import Passwords
from services.identity.refusals import account_locked, sign_in_refused, too_many_attempts
from services.identity.sessions.keeping import Person, Sessions
from services.kit.clock import Clock, timestamp
from services.kit.database import Database, Tx
from services.kit.errors import Refusal
from services.kit.events import announce
from services.kit.sealing import Seal
from services.kit.server import Client


class PasswordSignIn:
    """Judges passwords."""

    def __init__(self, database: Database, clock: Clock, seal: Seal, passwords: Passwords, sessions: Sessions) -> None:
        self._database = database
        self._clock = clock
        self._seal = seal
        self._passwords = passwords
        self._sessions = sessions

    async def tokens(self, email: str, password: str, organisation_id: str, client: Client) -> identity_pb2.Tokens:
        """Opens a session for who knows the password.

        Raises:
            Refusal: `SIGN_IN_REFUSED`, `TOO_MANY_ATTEMPTS`, `ACCOUNT_LOCKED`, `ORGANISATION_NOT_FOUND`.
        """
        address = canonical_email(email)
        guess = Guess.of(self._seal, address, client.network)
        account = await self._judged(guess, address, password, client)
        async with self._database.transaction() as tx:
            await attempts.forgive(tx, guess)
            current = await store.find(tx, account.account_id, for_update=True)
            # Between the judgement and now it may have been locked, or given another password.
            if current is None or current.lock_time or current.password_hash != account.password_hash:
                raise sign_in_refused()
            await self._rehash(tx, current, password)
            return await self._sessions.open(
                tx,
                Person(current.account_id, current.tier),
                identity_pb2.SIGN_IN_METHOD_PASSWORD,
                client,
                organisation_id=organisation_id,
            )

    async def confirm(self, account: Account, password: str, client: Client) -> None:
        """Checks the password of somebody who is signed in, guessing included.

        Raises:
            Refusal: `SIGN_IN_REFUSED`, `TOO_MANY_ATTEMPTS`, `ACCOUNT_LOCKED`.
        """
        guess = Guess.of(self._seal, account.email, client.network)
        await self._judged(guess, account.email, password, client)
        async with self._database.transaction() as tx:
            await attempts.forgive(tx, guess)

    async def _judged(self, guess: Guess, address: str, password: str, client: Client) -> Account:
        async with self._database.transaction() as tx:
            wait = await attempts.begin(tx, guess, self._clock.now())
            account = await store.find_by_email(tx, address)
        if wait:
            await self._refused(account, too_many_attempts(wait), client)
        right = await self._passwords.verify(account.password_hash if account else None, password)
        if account is None or not right:
            await self._refused(account, sign_in_refused(), client)
        assert account is not None
        if account.lock_time:
            await self._refused(account, account_locked(), client)
        return account

    async def _refused(self, account: Account | None, why: Refusal, client: Client) -> None:
        """Announces a refusal, and gives it. As much is written where there is no account."""
        async with self._database.transaction() as tx:
            await announce(
                tx,
                events_pb2.SignInRefused(
                    account_id=account.account_id if account else "",
                    method=identity_pb2.SIGN_IN_METHOD_PASSWORD,
                    reason=why.reason,
                    network=client.network,
                    refuse_time=timestamp(self._clock.now()),
                ),
            )
        raise why

    async def _rehash(self, tx: Tx, account: Account, password: str) -> None:
        """Brings a hash of an older cost up to today's, now that the password is at hand."""
        if account.password_hash and self._passwords.outdated(account.password_hash):
            fresh = await self._passwords.hash(password)
            await store.put(tx, replace(account, password_hash=fresh))
