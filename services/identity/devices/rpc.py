"""The devices contract."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import grpc
from reelmesh.identity.v1 import devices_pb2, devices_service_pb2_grpc, events_pb2
from reelmesh.identity.v1 import devices_service_pb2 as api

from services.identity.accounts.domain import Account
from services.identity.callers import caller, own_account, own_session
from services.identity.devices import store
from services.identity.devices.domain import Device, checked_number, device_not_found, session_bound
from services.identity.sessions import store as session_store
from services.identity.sessions.keeping import Sessions
from services.kit.clock import Clock, timestamp
from services.kit.database import Database, Tx
from services.kit.dpop import Proofs
from services.kit.events import announce
from services.kit.idempotency import first_answer, remember
from services.kit.ids import new_id
from services.kit.pagination import page_of
from services.kit.server import current_call

Context = grpc.aio.ServicerContext[Any, Any]


class DevicesServicer(devices_service_pb2_grpc.DevicesServiceServicer):
    """Serves `reelmesh.identity.v1.DevicesService`.

    Args:
        limits: devices of an account by its tier.
    """

    def __init__(
        self, database: Database, clock: Clock, *, proofs: Proofs, sessions: Sessions, limits: Mapping[str, int]
    ) -> None:
        self._database = database
        self._clock = clock
        self._proofs = proofs
        self._sessions = sessions
        self._limits = limits

    async def RegisterDevice(self, request: api.RegisterDeviceRequest, context: Context) -> api.RegisterDeviceResponse:
        """Registers the caller's device and binds the session to its key."""
        key = self._proven_key()
        async with self._database.transaction() as tx:
            account = await own_account(tx, for_update=True)
            if earlier := await first_answer(tx, account.account_id, request, api.RegisterDeviceResponse):
                return earlier
            session = await own_session(tx, for_update=True)
            device = await self._registered(tx, request, account, key)
            if session.key_thumbprint not in {"", key} or session.device_id not in {"", device.device_id}:
                raise session_bound(session.device_id)
            bound = replace(session, device_id=device.device_id, key_thumbprint=key)
            tokens = await self._sessions.bound(tx, bound, account.tier)
            await announce(
                tx,
                events_pb2.DeviceRegistered(
                    account_id=account.account_id,
                    device_id=device.device_id,
                    session_id=session.session_id,
                    platform=device.platform,
                    key_thumbprint=key,
                    register_time=timestamp(self._clock.now()),
                ),
            )
            answer = api.RegisterDeviceResponse(device=_resource(device, device.device_id))
            await remember(tx, account.account_id, request, answer)
        answer.tokens.CopyFrom(tokens)
        return answer

    async def ListDevices(self, request: api.ListDevicesRequest, context: Context) -> api.ListDevicesResponse:
        """The caller's devices."""
        part = page_of(request)
        async with self._database.transaction() as tx:
            found = await store.page(tx, caller().account_id, part)
            session = await own_session(tx)
        shown = found[: part.size]
        return api.ListDevicesResponse(
            devices=[_resource(one, session.device_id) for one in shown],
            next_page_token=part.next_token(shown[-1].device_id) if len(found) > part.size else "",
        )

    async def RenameDevice(self, request: api.RenameDeviceRequest, context: Context) -> api.RenameDeviceResponse:
        """Gives a device another name."""
        async with self._database.transaction() as tx:
            device = await self._own(tx, request.device_id)
            if device.revoke_time is not None:
                raise device_not_found(request.device_id)
            renamed = device.renamed(request.display_name)
            await store.put(tx, renamed)
            session = await own_session(tx)
        return api.RenameDeviceResponse(device=_resource(renamed, session.device_id))

    async def RevokeDevice(self, request: api.RevokeDeviceRequest, context: Context) -> api.RevokeDeviceResponse:
        """Ends everything on a device."""
        async with self._database.transaction() as tx:
            # As when one is registered: first the account, then what belongs to it.
            account = await own_account(tx, for_update=True)
            device = await self._own(tx, request.device_id)
            if device.revoke_time is None:
                now = self._clock.now()
                await store.put(tx, device.revoked(now))
                for session in await session_store.open_of(tx, account.account_id, now):
                    if session.device_id == device.device_id:
                        await self._sessions.end(tx, session, events_pb2.SESSION_END_DEVICE_REVOKED)
                await announce(
                    tx,
                    events_pb2.DeviceRevoked(
                        account_id=account.account_id,
                        device_id=device.device_id,
                        key_thumbprint=device.key_thumbprint,
                        revoke_time=timestamp(now),
                    ),
                )
        return api.RevokeDeviceResponse()

    def _proven_key(self) -> str:
        """Thumbprint of the key that the call proves to hold. Where the access token is bound, the proof was taken with it."""
        call, principal = current_call(), caller()
        if principal.key_thumbprint:
            return principal.key_thumbprint
        token = call.metadata.get("authorization", "").partition(" ")[2]
        return self._proofs.proven(call.metadata, call.method, token)

    async def _registered(self, tx: Tx, request: api.RegisterDeviceRequest, account: Account, key: str) -> Device:
        """The device with this key: the one that is known, or a new one."""
        now = self._clock.now()
        known = await store.of_account(tx, account.account_id)
        for device in known:
            if device.key_thumbprint == key:
                seen = replace(
                    device.seen(now),
                    display_name=request.display_name,
                    platform=request.platform,
                    model=request.model,
                )
                await store.put(tx, seen)
                return seen
        checked_number(self._limits, account.tier, len(known))
        device = Device(
            device_id=new_id("dev"),
            account_id=account.account_id,
            display_name=request.display_name,
            platform=request.platform,
            model=request.model,
            key_thumbprint=key,
            create_time=now,
            use_time=now,
        )
        await store.add(tx, device)
        return device

    async def _own(self, tx: Tx, device_id: str) -> Device:
        device = await store.find(tx, device_id, for_update=True)
        if device is None or device.account_id != caller().account_id:
            raise device_not_found(device_id)
        return device


def _resource(device: Device, current: str) -> devices_pb2.Device:
    return devices_pb2.Device(
        device_id=device.device_id,
        account_id=device.account_id,
        display_name=device.display_name,
        platform=device.platform,
        model=device.model,
        key_thumbprint=device.key_thumbprint,
        create_time=timestamp(device.create_time),
        use_time=timestamp(device.use_time),
        current=device.device_id == current,
    )
