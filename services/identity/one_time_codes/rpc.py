"""The contract of one-time codes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import grpc
import sqlalchemy.exc
from reelmesh.identity.v1 import codes_service_pb2 as api
from reelmesh.identity.v1 import codes_service_pb2_grpc, events_pb2

from services.identity.accounts import store
from services.identity.accounts.domain import Account
from services.identity.callers import caller, own_account
from services.identity.codes import Codes
from services.identity.messages import Messages, OutgoingMessage
from services.identity.one_time_codes.phones import canonical_phone
from services.identity.one_time_codes.sending import CodeSending, Recipient
from services.identity.one_time_codes.sign_in import CodeSignIn
from services.identity.refusals import code_invalid, refusal
from services.kit.clock import Clock, timestamp
from services.kit.database import Database, Tx
from services.kit.errors import Refusal
from services.kit.events import announce
from services.kit.idempotency import first_answer, remember
from services.kit.server import current_call

Context = grpc.aio.ServicerContext[Any, Any]

PHONE = "phv"


class CodesServicer(codes_service_pb2_grpc.CodesServiceServicer):
    """Serves `reelmesh.identity.v1.CodesService`."""

    def __init__(
        self,
        database: Database,
        clock: Clock,
        *,
        sign_in: CodeSignIn,
        sending: CodeSending,
        codes: Codes,
        messages: Messages,
    ) -> None:
        self._database = database
        self._clock = clock
        self._sign_in = sign_in
        self._sending = sending
        self._codes = codes
        self._messages = messages

    async def SendSignInCode(self, request: api.SendSignInCodeRequest, context: Context) -> api.SendSignInCodeResponse:
        """Sends a code, if there is an account."""
        code = await self._sign_in.begin(request.email, request.phone, current_call().client)
        return api.SendSignInCodeResponse(sign_in_id=code.code_id, expire_time=timestamp(code.expire_time))

    async def SignInWithCode(self, request: api.SignInWithCodeRequest, context: Context) -> api.SignInWithCodeResponse:
        """Opens a session for who has the code."""
        async with self._database.transaction() as tx:
            if earlier := await first_answer(tx, request.sign_in_id, request, api.SignInWithCodeResponse):
                return earlier
            made = await self._sign_in.ended(
                tx, request.sign_in_id, request.code, request.organisation_id, current_call().client
            )
            if not isinstance(made, Refusal):
                answer = api.SignInWithCodeResponse(session_id=made.session_id)
                await remember(tx, request.sign_in_id, request, answer)
        if isinstance(made, Refusal):
            raise made
        answer.tokens.CopyFrom(made)
        return answer

    async def SendPhoneCode(self, request: api.SendPhoneCodeRequest, context: Context) -> api.SendPhoneCodeResponse:
        """Sends a code to the number."""
        phone = canonical_phone(request.phone)
        async with self._database.transaction() as tx:
            account = await own_account(tx)
            code = await self._sending.sent(
                tx,
                PHONE,
                "verify-phone",
                Recipient("sms", phone, account.language),
                purpose={"account_id": account.account_id, "phone": phone},
                network=current_call().client.network,
                account_id=account.account_id,
            )
        return api.SendPhoneCodeResponse(phone_verification_id=code.code_id, expire_time=timestamp(code.expire_time))

    async def VerifyPhone(self, request: api.VerifyPhoneRequest, context: Context) -> api.VerifyPhoneResponse:
        """Sets the number that the code was sent to."""
        answer: api.VerifyPhoneResponse | None = None
        async with self._database.transaction() as tx:
            account = await own_account(tx, for_update=True)
            if earlier := await first_answer(tx, account.account_id, request, api.VerifyPhoneResponse):
                return earlier
            purpose = await self._codes.redeem(tx, request.phone_verification_id, request.code, self._clock.now())
            if purpose is not None and purpose["account_id"] == caller().account_id:
                await self._set(tx, account, purpose["phone"])
                await self._sending.used(tx, purpose["phone"], current_call().client.network, account.account_id)
                answer = api.VerifyPhoneResponse(phone=purpose["phone"])
                await remember(tx, account.account_id, request, answer)
        if answer is None:
            raise code_invalid()
        return answer

    async def RemovePhone(self, request: api.RemovePhoneRequest, context: Context) -> api.RemovePhoneResponse:
        """Removes the number."""
        async with self._database.transaction() as tx:
            account = await own_account(tx, for_update=True)
            if account.phone:
                await self._set(tx, account, "")
        return api.RemovePhoneResponse()

    async def _set(self, tx: Tx, account: Account, phone: str) -> None:
        """Sets the number, and tells the person by e-mail: by it one can sign in."""
        try:
            async with tx.begin_nested():
                await store.put(tx, replace(account, version=account.version + 1, phone=phone))
        except sqlalchemy.exc.IntegrityError:
            message = "another account has this number; remove it there first"
            raise refusal(grpc.StatusCode.ALREADY_EXISTS, "PHONE_TAKEN", message) from None
        now = self._clock.now()
        await announce(
            tx,
            events_pb2.PhoneChanged(account_id=account.account_id, present=bool(phone), change_time=timestamp(now)),
        )
        told = OutgoingMessage("email", account.email, "phone-changed", account.language, {})
        await self._messages.put(tx, told, now)
