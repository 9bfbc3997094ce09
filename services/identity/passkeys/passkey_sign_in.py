"""Signing in by passkey, without an address: the device tells whose it is."""

from __future__ import annotations

import secrets
from dataclasses import replace

import structlog
from reelmesh.identity.v1 import events_pb2, identity_pb2

from services.identity.accounts import store as accounts
from services.identity.passkeys import ceremonies, store
from services.identity.passkeys.ceremonies import LIFETIME, Answer, Unacceptable, went_back
from services.identity.passkeys.refusals import challenge_invalid, checked, passkey_copied, passkey_refused
from services.identity.passkeys.registration import CHALLENGE_BYTES
from services.identity.passkeys.relying_party import RelyingParty
from services.identity.passkeys.store import Passkey
from services.identity.refusals import account_locked
from services.identity.sessions.keeping import Person, Sessions
from services.kit.clock import Clock, timestamp
from services.kit.database import Tx
from services.kit.errors import Refusal
from services.kit.events import announce
from services.kit.server import Client

log = structlog.stdlib.get_logger()


class PasskeySignIn:
    """Judges signatures. Each method works in the caller's transaction. Nothing slows guesses down: a signature cannot be guessed."""

    def __init__(self, clock: Clock, party: RelyingParty, sessions: Sessions) -> None:
        self._clock = clock
        self._party = party
        self._sessions = sessions

    async def begin(self, tx: Tx) -> str:
        """The options to sign in with.

        Raises:
            Refusal: `PASSKEYS_UNAVAILABLE`.
        """
        challenge = secrets.token_bytes(CHALLENGE_BYTES)
        await store.ask(tx, challenge, None, self._clock.now() + LIFETIME)
        return ceremonies.request_options(checked(self._party), challenge)

    async def tokens(
        self, tx: Tx, credential: str, organisation_id: str, client: Client
    ) -> identity_pb2.Tokens | Refusal:
        """Opens a session for who signed what was asked. A refusal is returned, not raised: the challenge is used up and the refusal is
        announced, which the caller must commit first.

        Raises:
            Refusal: `ORGANISATION_NOT_FOUND`; the challenge stays good then.
        """
        try:
            answer = ceremonies.read(credential)
        except Unacceptable as error:
            log.info("passkey was refused", error=str(error))
            return await self._refused(tx, "", passkey_refused(), client)
        if not await store.take(tx, answer.challenge, None, self._clock.now()):
            return await self._refused(tx, "", challenge_invalid(), client)
        passkey = await store.find_by_credential(tx, answer.credential_id)
        if passkey is None:
            return await self._refused(tx, "", passkey_refused(), client)
        judged = await self._judged(tx, passkey, credential, answer, client)
        if isinstance(judged, Refusal):
            return await self._refused(tx, passkey.account_id, judged, client)
        await store.put(tx, judged)
        account = await accounts.find(tx, passkey.account_id, for_update=True)
        if account is None or account.lock_time:
            return await self._refused(
                tx, passkey.account_id, account_locked() if account else passkey_refused(), client
            )
        return await self._sessions.open(
            tx,
            Person(account.account_id, account.tier),
            identity_pb2.SIGN_IN_METHOD_PASSKEY,
            client,
            organisation_id=organisation_id,
        )

    async def _judged(
        self, tx: Tx, passkey: Passkey, credential: str, answer: Answer, client: Client
    ) -> Passkey | Refusal:
        """The passkey after this use, or why it is not accepted."""
        try:
            found = ceremonies.signed(
                self._party,
                credential,
                answer,
                public_key=passkey.public_key,
                user_handle=await store.handle_of(tx, passkey.account_id),
            )
        except Unacceptable as error:
            log.info("passkey was refused", passkey_id=passkey.passkey_id, error=str(error))
            return passkey_refused()
        now = self._clock.now()
        if went_back(passkey.sign_count, found.sign_count):
            await announce(
                tx,
                events_pb2.PasskeyCopySuspected(
                    account_id=passkey.account_id,
                    passkey_id=passkey.passkey_id,
                    network=client.network,
                    suspect_time=timestamp(now),
                ),
            )
            return passkey_copied()
        return replace(passkey, sign_count=found.sign_count, backed_up=found.backed_up, use_time=now)

    async def _refused(self, tx: Tx, account_id: str, why: Refusal, client: Client) -> Refusal:
        await announce(
            tx,
            events_pb2.SignInRefused(
                account_id=account_id,
                method=identity_pb2.SIGN_IN_METHOD_PASSKEY,
                reason=why.reason,
                network=client.network,
                refuse_time=timestamp(self._clock.now()),
            ),
        )
        return why
