"""The passkeys contract."""

from __future__ import annotations

import hashlib
from typing import Any

import grpc
from reelmesh.identity.v1 import passkeys_pb2, passkeys_service_pb2_grpc
from reelmesh.identity.v1 import passkeys_service_pb2 as api

from services.identity.passkeys import store
from services.identity.passkeys.ceremonies import LIFETIME
from services.identity.passkeys.passkey_sign_in import PasskeySignIn
from services.identity.passkeys.registration import PasskeyRegistration
from services.identity.passkeys.store import Passkey
from services.kit.clock import Clock, timestamp
from services.kit.database import Database
from services.kit.errors import Refusal
from services.kit.idempotency import first_answer, remember
from services.kit.pagination import page_of
from services.kit.server import current_call

Context = grpc.aio.ServicerContext[Any, Any]


class PasskeysServicer(passkeys_service_pb2_grpc.PasskeysServiceServicer):
    """Serves `reelmesh.identity.v1.PasskeysService`."""

    def __init__(
        self, database: Database, clock: Clock, registration: PasskeyRegistration, sign_in: PasskeySignIn
    ) -> None:
        self._database = database
        self._clock = clock
        self._registration = registration
        self._sign_in = sign_in

    async def BeginPasskeyRegistration(
        self, request: api.BeginPasskeyRegistrationRequest, context: Context
    ) -> api.BeginPasskeyRegistrationResponse:
        """Asks the person's device for a passkey."""
        async with self._database.transaction() as tx:
            options = await self._registration.begin(tx, _account_id())
        return api.BeginPasskeyRegistrationResponse(
            options=options, expire_time=timestamp(self._clock.now() + LIFETIME)
        )

    async def FinishPasskeyRegistration(
        self, request: api.FinishPasskeyRegistrationRequest, context: Context
    ) -> api.FinishPasskeyRegistrationResponse:
        """Adds a passkey."""
        async with self._database.transaction() as tx:
            scope = _account_id()
            if earlier := await first_answer(tx, scope, request, api.FinishPasskeyRegistrationResponse):
                return earlier
            made = await self._registration.finish(tx, scope, request.credential, request.display_name)
            if not isinstance(made, Refusal):
                answer = api.FinishPasskeyRegistrationResponse(passkey=_resource(made))
                await remember(tx, scope, request, answer)
                return answer
        raise made

    async def ListPasskeys(self, request: api.ListPasskeysRequest, context: Context) -> api.ListPasskeysResponse:
        """The caller's passkeys."""
        part = page_of(request)
        async with self._database.transaction() as tx:
            found = await store.page(tx, _account_id(), part)
        shown = found[: part.size]
        return api.ListPasskeysResponse(
            passkeys=[_resource(passkey) for passkey in shown],
            next_page_token=part.next_token(shown[-1].passkey_id) if len(found) > part.size else "",
        )

    async def RenamePasskey(self, request: api.RenamePasskeyRequest, context: Context) -> api.RenamePasskeyResponse:
        """Names one of the caller's passkeys."""
        async with self._database.transaction() as tx:
            renamed = await self._registration.rename(tx, _account_id(), request.passkey_id, request.display_name)
        return api.RenamePasskeyResponse(passkey=_resource(renamed))

    async def DeletePasskey(self, request: api.DeletePasskeyRequest, context: Context) -> api.DeletePasskeyResponse:
        """Removes one of the caller's passkeys."""
        async with self._database.transaction() as tx:
            await self._registration.remove(tx, _account_id(), request.passkey_id)
        return api.DeletePasskeyResponse()

    async def BeginPasskeySignIn(
        self, request: api.BeginPasskeySignInRequest, context: Context
    ) -> api.BeginPasskeySignInResponse:
        """Asks whoever is there for a signature."""
        async with self._database.transaction() as tx:
            options = await self._sign_in.begin(tx)
        return api.BeginPasskeySignInResponse(options=options, expire_time=timestamp(self._clock.now() + LIFETIME))

    async def FinishPasskeySignIn(
        self, request: api.FinishPasskeySignInRequest, context: Context
    ) -> api.FinishPasskeySignInResponse:
        """Opens a session."""
        async with self._database.transaction() as tx:
            # Before it is known who signs in, a `request_id` belongs to the answer that it comes with.
            scope = f"passkey/{hashlib.sha256(request.credential.encode()).hexdigest()}"
            if earlier := await first_answer(tx, scope, request, api.FinishPasskeySignInResponse):
                return earlier
            taken = await self._sign_in.tokens(tx, request.credential, request.organisation_id, current_call().client)
            if not isinstance(taken, Refusal):
                answer = api.FinishPasskeySignInResponse()
                await remember(tx, scope, request, answer)
                answer.tokens.CopyFrom(taken)
                return answer
        raise taken


def _account_id() -> str:
    """Account of the calling person; the contract lets nobody else in."""
    principal = current_call().principal
    assert principal is not None
    return principal.account_id


def _resource(passkey: Passkey) -> passkeys_pb2.Passkey:
    return passkeys_pb2.Passkey(
        passkey_id=passkey.passkey_id,
        display_name=passkey.display_name,
        authenticator_model=passkey.authenticator_model,
        backed_up=passkey.backed_up,
        create_time=timestamp(passkey.create_time),
        use_time=timestamp(passkey.use_time),
    )
