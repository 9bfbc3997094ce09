"""KeysService: the contract, put in terms of rotations, emergencies and the escrow."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Final

import grpc
from reelmesh.drm.v1 import keys_service_pb2 as api
from reelmesh.drm.v1 import keys_service_pb2_grpc

from services.drm import store, uses
from services.drm.caretaker import Caretaker
from services.drm.domain import keystore_locked, keystore_unable, operator_only
from services.drm.emergency import store as titles
from services.drm.emergency.changing import Changing
from services.drm.escrow import store as escrows
from services.drm.escrow.keeping import Keeping, checked, escrow_missing, opens
from services.drm.escrow.store import Escrow
from services.drm.keks import Keks, asked
from services.drm.keys import messages
from services.drm.keystores.keystore import WrongKeystore
from services.drm.rotation import store as rotations
from services.drm.rotation.domain import Kind
from services.drm.rotation.rotating import Rotating
from services.kit.clock import Clock
from services.kit.database import Database, Tx, after_commit
from services.kit.errors import RPC_DOMAIN, Refusal
from services.kit.idempotency import first_answer, remember
from services.kit.ids import new_id
from services.kit.pagination import page_of
from services.kit.server import Call, current_call

_OPERATOR: Final = "operator"
"""Name of the key in the install's own file that its supervisor made for whoever runs it."""

Context = grpc.aio.ServicerContext[Any, Any]


class KeysServicer(keys_service_pb2_grpc.KeysServiceServicer):
    """Serves `reelmesh.drm.v1.KeysService`.

    Args:
        period: age at which an organisation's key-encryption key is rotated.
    """

    def __init__(
        self,
        database: Database,
        keks: Keks,
        clock: Clock,
        *,
        rotating: Rotating,
        changing: Changing,
        keeping: Keeping,
        caretaker: Caretaker,
        period: timedelta,
    ) -> None:
        self._database = database
        self._keks = keks
        self._clock = clock
        self._rotating = rotating
        self._changing = changing
        self._keeping = keeping
        self._caretaker = caretaker
        self._period = period

    async def ListKeyEncryptionKeys(
        self, request: api.ListKeyEncryptionKeysRequest, context: Context
    ) -> api.ListKeyEncryptionKeysResponse:
        """The organisation's key-encryption keys, newest first."""
        part, organisation_id = page_of(request), current_call().organisation_id
        root_id = await asked("", self._keks.keystore.root_id)
        async with self._database.transaction() as tx:
            found = await rotations.keks_page(tx, organisation_id, part)
            shown = found[: part.size]
            into = await escrows.current(tx)
            kept = await escrows.ids(tx, into.escrow_id, [one.kek_id for one in shown]) if into else frozenset()
        answer = api.ListKeyEncryptionKeysResponse(
            keys=[messages.kek(one, escrowed=one.kek_id in kept) for one in shown],
            next_page_token=part.next_token(shown[-1].kek_id) if len(found) > part.size else "",
            root_id=root_id,
        )
        if shown and not part.after:
            answer.rotate_time.FromDatetime(shown[0].create_time + self._period)
        return answer

    async def StartRotation(self, request: api.StartRotationRequest, context: Context) -> api.StartRotationResponse:
        """Begins a rotation, or returns the one that runs."""
        call = current_call()
        _storable("reason", request.reason)
        async with self._database.transaction() as tx:
            earlier = await first_answer(tx, call.organisation_id, request, api.StartRotationResponse)
            if earlier:
                return earlier
            await rotations.one_at_a_time(tx, call.organisation_id)
            begun = await self._rotating.begin(tx, call.organisation_id, Kind.ASKED, request.reason, _actor(call))
            answer = api.StartRotationResponse(rotation=messages.rotation(begun, {}))
            await remember(tx, call.organisation_id, request, answer)
            after_commit(tx, self._caretaker.wake)
        return answer

    async def StartEmergency(self, request: api.StartEmergencyRequest, context: Context) -> api.StartEmergencyResponse:
        """Begins an emergency."""
        call = current_call()
        _storable("reason", request.reason)
        async with self._database.transaction() as tx:
            earlier = await first_answer(tx, call.organisation_id, request, api.StartEmergencyResponse)
            if earlier:
                return earlier
            begun = await self._changing.begin(
                tx,
                call.organisation_id,
                request.reason,
                _actor(call),
                package_ids=list(request.package_ids),
                stop_at_once=request.stop_at_once,
            )
            counts = await titles.counts(tx, [begun.rotation_id])
            answer = api.StartEmergencyResponse(rotation=messages.rotation(begun, counts))
            await remember(tx, call.organisation_id, request, answer)
            after_commit(tx, self._caretaker.wake)
        return answer

    async def GetRotation(self, request: api.GetRotationRequest, context: Context) -> api.GetRotationResponse:
        """One rotation, with its progress."""
        async with self._database.transaction() as tx:
            found = await rotations.get(tx, current_call().organisation_id, request.rotation_id)
            counts = await titles.counts(tx, [found.rotation_id])
        return api.GetRotationResponse(rotation=messages.rotation(found, counts))

    async def ListRotations(self, request: api.ListRotationsRequest, context: Context) -> api.ListRotationsResponse:
        """The organisation's rotations, newest first."""
        part = page_of(request)
        async with self._database.transaction() as tx:
            found = await rotations.page(tx, current_call().organisation_id, part)
            counts = await titles.counts(tx, [one.rotation_id for one in found])
        shown = found[: part.size]
        return api.ListRotationsResponse(
            rotations=[messages.rotation(one, counts) for one in shown],
            next_page_token=part.next_token(shown[-1].rotation_id) if len(found) > part.size else "",
        )

    async def ListRotationTitles(
        self, request: api.ListRotationTitlesRequest, context: Context
    ) -> api.ListRotationTitlesResponse:
        """The packages of an emergency."""
        part = page_of(request)
        async with self._database.transaction() as tx:
            await rotations.get(tx, current_call().organisation_id, request.rotation_id)
            found = await titles.page(tx, request.rotation_id, part)
        shown = found[: part.size]
        return api.ListRotationTitlesResponse(
            titles=[messages.title(one) for one in shown],
            next_page_token=part.next_token(shown[-1].package_id) if len(found) > part.size else "",
        )

    async def ListKeyUses(self, request: api.ListKeyUsesRequest, context: Context) -> api.ListKeyUsesResponse:
        """Who used which key when."""
        part = page_of(request)
        _storable("actor", request.actor)
        async with self._database.transaction() as tx:
            found = await uses.page(
                tx,
                current_call().organisation_id,
                part,
                key_id=request.key_id,
                package_id=request.package_id,
                actor=request.actor,
            )
        shown = found[: part.size]
        return api.ListKeyUsesResponse(
            uses=[messages.use(one) for one in shown],
            next_page_token=part.next_token(shown[-1].use_id[-uses.SUFFIX :]) if len(found) > part.size else "",
        )

    async def RotateRootKey(self, request: api.RotateRootKeyRequest, context: Context) -> api.RotateRootKeyResponse:
        """Makes a new root key and wraps everything by it. A repeat goes on with what is unfinished, and makes no other one."""
        call = _operator()
        while await self._caretaker.wrap_anew():  # what an earlier change left, should it have ended in the middle
            pass
        async with self._database.transaction() as tx:
            earlier = await first_answer(tx, call.organisation_id, request, api.RotateRootKeyResponse)
            if earlier:
                return earlier
            await rotations.one_at_a_time(tx, "the root key")
            await self._checked_root(tx)
            dropped = list(await asked("", self._keks.keystore.drop_former_roots))
            await asked("", self._new_root)
        rewrapped = 0
        while done := await self._caretaker.wrap_anew():
            rewrapped += done
        async with self._database.transaction() as tx:
            root_id = await self._checked_root(tx)
            dropped += await asked("", self._keks.keystore.drop_former_roots)
            answer = api.RotateRootKeyResponse(root_id=root_id, rewrapped=rewrapped, dropped_root_ids=dropped)
            await remember(tx, call.organisation_id, request, answer)
        return answer

    async def CreateEscrow(self, request: api.CreateEscrowRequest, context: Context) -> api.CreateEscrowResponse:
        """Takes up an escrow, and encrypts everything to it that opens."""
        call = _operator()
        async with self._database.transaction() as tx:
            earlier = await first_answer(tx, call.organisation_id, request, api.CreateEscrowResponse)
            if earlier:
                return earlier
            escrow = Escrow(
                escrow_id=new_id("esc"),
                public_key=request.public_key,
                sealed_private_key=request.sealed_private_key,
                threshold=request.threshold,
                share_count=request.share_count,
                actor=_actor(call),
                create_time=self._clock.now(),
            )
            await escrows.take_up(tx, checked(escrow))
            number = await self._keeping.complete(tx, _actor(call))
            answer = api.CreateEscrowResponse(escrow=messages.escrow(escrow), escrowed=number)
            await remember(tx, call.organisation_id, request, answer)
        return answer

    async def GetEscrow(self, request: api.GetEscrowRequest, context: Context) -> api.GetEscrowResponse:
        """The escrow in force, and how much of what is stored opens."""
        _operator()
        async with self._database.transaction() as tx:
            into = await escrows.current(tx)
            live = await store.live_keks(tx)
            kept = await escrows.ids(tx, into.escrow_id, [kek.kek_id for kek in live]) if into else frozenset()
        keystore = self._keks.keystore
        locked = await asked("", lambda: sum(not opens(keystore, kek) for kek in live))
        return api.GetEscrowResponse(
            escrow=messages.escrow(into) if into else None,
            keks=len(live),
            locked_keks=locked,
            escrowed_keks=len(kept),
        )

    async def ListEscrowedKeys(
        self, request: api.ListEscrowedKeysRequest, context: Context
    ) -> api.ListEscrowedKeysResponse:
        """What is kept encrypted to the escrow."""
        _operator()
        part = page_of(request)
        async with self._database.transaction() as tx:
            into = await _escrow(tx)
            found = await escrows.page(tx, into.escrow_id, part)
        shown = found[: part.size]
        return api.ListEscrowedKeysResponse(
            keys=[
                api.EscrowedKey(
                    kek_id=one.kek_id,
                    organisation_id=one.organisation_id,
                    encrypted=one.encrypted,
                    check_value=one.check_value,
                )
                for one in shown
            ],
            next_page_token=part.next_token(shown[-1].kek_id) if len(found) > part.size else "",
        )

    async def RestoreKeys(self, request: api.RestoreKeysRequest, context: Context) -> api.RestoreKeysResponse:
        """Takes keys back in."""
        call = _operator()
        async with self._database.transaction() as tx:
            restored = {one.kek_id: one.key for one in request.keys}
            number = await self._keeping.restore(tx, restored, _actor(call))
            after_commit(tx, lambda: self._keks.forget(everything=True))
        return api.RestoreKeysResponse(restored=number)

    async def _checked_root(self, tx: Tx) -> str:
        """The root key of today, if it wraps everything there is, so that nobody needs a former one.

        Raises:
            Refusal: KEYSTORE_LOCKED; what does not open waits for whoever brings the shares of the escrow together.
        """
        root_id = await asked("", self._keks.keystore.root_id)
        for kek in await store.live_keks(tx):
            if kek.root_id != root_id:
                raise keystore_locked(kek.kek_id)
        return root_id

    def _new_root(self) -> str:
        try:
            return self._keks.keystore.add_root()
        except WrongKeystore as error:
            raise keystore_unable(str(error)) from None


def _actor(call: Call) -> str:
    return call.principal.name if call.principal else ""


def _operator() -> Call:
    """The call, if it is by the operator's key: the names of people and of organisations' own keys have a slash in them.

    Raises:
        Refusal: OPERATOR_ONLY.
    """
    call = current_call()
    if call.principal is None or call.principal.name != _OPERATOR:
        raise operator_only()
    return call


async def _escrow(tx: Tx) -> Escrow:
    found = await escrows.current(tx)
    if found is None:
        raise escrow_missing()
    return found


def _storable(field: str, text: str) -> None:
    """Refuses the one character that the database cannot keep."""
    if "\0" in text:
        message = "send text without NUL characters"
        raise Refusal(
            grpc.StatusCode.INVALID_ARGUMENT, "REQUEST_INVALID", message, domain=RPC_DOMAIN, fields=[(field, message)]
        )
