"""Adding and removing passkeys."""

from __future__ import annotations

import secrets
from dataclasses import replace
from typing import Final

import structlog
from reelmesh.identity.v1 import events_pb2

from services.identity.accounts import store as accounts
from services.identity.accounts.domain import Account
from services.identity.messages import Messages, OutgoingMessage
from services.identity.passkeys import ceremonies, store
from services.identity.passkeys.ceremonies import LIFETIME, Unacceptable
from services.identity.passkeys.refusals import (
    challenge_invalid,
    checked,
    passkey_exists,
    passkey_invalid,
    passkey_not_found,
    too_many_passkeys,
)
from services.identity.passkeys.relying_party import RelyingParty
from services.identity.passkeys.store import Passkey
from services.identity.refusals import account_not_found
from services.kit.clock import Clock, timestamp
from services.kit.database import Tx
from services.kit.errors import Refusal
from services.kit.events import announce
from services.kit.ids import new_id

MOST_PASSKEYS: Final = 20
CHALLENGE_BYTES: Final = 32
_NAMELESS: Final = "Passkey"

log = structlog.stdlib.get_logger()


class PasskeyRegistration:
    """What people do about their own passkeys. Each method works in the caller's transaction. Of each that comes or goes they are told by
    mail: whoever had got into an account would add one to stay there."""

    def __init__(self, clock: Clock, messages: Messages, party: RelyingParty) -> None:
        self._clock = clock
        self._messages = messages
        self._party = party

    async def begin(self, tx: Tx, account_id: str) -> str:
        """The options to make a passkey with.

        Raises:
            Refusal: `PASSKEYS_UNAVAILABLE`, `TOO_MANY_PASSKEYS`, `ACCOUNT_NOT_FOUND`.
        """
        checked(self._party)
        account = await self._account(tx, account_id)
        known = await store.credentials_of(tx, account_id)
        if len(known) >= MOST_PASSKEYS:
            raise too_many_passkeys(MOST_PASSKEYS)
        challenge = secrets.token_bytes(CHALLENGE_BYTES)
        await store.ask(tx, challenge, account_id, self._clock.now() + LIFETIME)
        return ceremonies.creation_options(
            self._party,
            challenge,
            user_handle=await store.handle_of(tx, account_id),
            email=account.email,
            display_name=account.display_name,
            known=known,
        )

    async def finish(self, tx: Tx, account_id: str, credential: str, display_name: str) -> Passkey | Refusal:
        """Adds what the device made. A refusal is returned, not raised: the challenge is used up, which the caller must commit first."""
        now = self._clock.now()
        try:
            answer = ceremonies.read(credential)
        except Unacceptable as error:
            return self._unacceptable(error)
        if not await store.take(tx, answer.challenge, account_id, now):
            return challenge_invalid()
        account = await self._account(tx, account_id)  # locked, so that two at a time are counted one after the other
        if len(await store.credentials_of(tx, account_id)) >= MOST_PASSKEYS:
            return too_many_passkeys(MOST_PASSKEYS)
        try:
            made = ceremonies.registered(self._party, credential, answer.challenge)
        except Unacceptable as error:
            return self._unacceptable(error)
        passkey = Passkey(
            passkey_id=new_id("pky"),
            account_id=account_id,
            credential_id=made.credential_id,
            public_key=made.public_key,
            sign_count=made.sign_count,
            display_name=display_name.strip() or _NAMELESS,
            authenticator_model=made.authenticator_model,
            transports=made.transports,
            backed_up=made.backed_up,
            create_time=now,
        )
        if not await store.add(tx, passkey):
            return passkey_exists()
        await announce(
            tx,
            events_pb2.PasskeyAdded(
                account_id=account_id, passkey_id=passkey.passkey_id, add_time=timestamp(passkey.create_time)
            ),
        )
        await self._tell(tx, account, "passkey-added")
        return passkey

    async def rename(self, tx: Tx, account_id: str, passkey_id: str, display_name: str) -> Passkey:
        """Gives a passkey another name.

        Raises:
            Refusal: `PASSKEY_NOT_FOUND`.
        """
        passkey = replace(await self._own(tx, account_id, passkey_id), display_name=display_name.strip() or _NAMELESS)
        await store.put(tx, passkey)
        return passkey

    async def remove(self, tx: Tx, account_id: str, passkey_id: str) -> None:
        """Removes a passkey.

        Raises:
            Refusal: `PASSKEY_NOT_FOUND`, `ACCOUNT_NOT_FOUND`.
        """
        account = await self._account(tx, account_id)
        passkey = await self._own(tx, account_id, passkey_id)
        await store.remove(tx, passkey.passkey_id)
        await announce(
            tx,
            events_pb2.PasskeyRemoved(
                account_id=account_id, passkey_id=passkey_id, remove_time=timestamp(self._clock.now())
            ),
        )
        await self._tell(tx, account, "passkey-removed")

    async def _tell(self, tx: Tx, account: Account, template: str) -> None:
        message = OutgoingMessage("email", account.email, template, account.language, {})
        await self._messages.put(tx, message, self._clock.now())

    async def _account(self, tx: Tx, account_id: str) -> Account:
        account = await accounts.find(tx, account_id, for_update=True)
        if account is None:
            raise account_not_found(account_id)
        return account

    async def _own(self, tx: Tx, account_id: str, passkey_id: str) -> Passkey:
        passkey = await store.find(tx, passkey_id)
        if passkey is None or passkey.account_id != account_id:
            raise passkey_not_found(passkey_id)
        return passkey

    @staticmethod
    def _unacceptable(error: Unacceptable) -> Refusal:
        log.info("passkey was not taken", error=str(error))
        return passkey_invalid()
