"""A device of ours and our Key Security Module: what one asks, the other answers, and nothing else opens."""

from __future__ import annotations

import os
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.drm.domain import ContentKey
from services.drm.fairplay.conditions import CannotEnforce, Conditions
from services.drm.fairplay.credentials import Credentials
from services.drm.fairplay.module import OwnModule
from services.drm.fairplay.tags import HdcpType, KeyType
from tests.support import fairplay_client as client
from tests.support.fairplay_client import Asking, Received
from tests.support.fairplay_d import derive
from tests.support.fairplay_provider import Provider, new_provider, the_provider

KEY = ContentKey("HD", bytes(range(16)), bytes(range(16, 32)), bytes(range(32, 48)))
ASSET = f"skd://{KEY.key_id.hex()}".encode()
ANY = Conditions()
DAY = timedelta(days=1)
HOUR = timedelta(hours=1)


def module_of(provider: Provider) -> OwnModule:
    return OwnModule(Credentials(provider.certificate, provider.private_key, provider.application_secret_key), derive)


async def answer(asking: Asking, conditions: Conditions = ANY) -> Received:
    """What the device has in the end."""
    request = module_of(the_provider()).read(asking.spc)
    return asking.receive(await request.ckc(KEY, conditions))


async def test_the_key_arrives_and_only_the_device_that_asked_opens_it() -> None:
    first, second = the_provider().device().ask(ASSET), the_provider().device().ask(ASSET)
    request = module_of(the_provider()).read(first.spc)
    assert request.asset_id == ASSET
    ckc = await request.ckc(KEY, Conditions())
    received = first.receive(ckc)
    assert (received.key, received.iv) == (KEY.key, KEY.iv)
    assert KEY.key not in ckc
    with pytest.raises((AssertionError, KeyError)):
        second.receive(ckc)


@pytest.mark.parametrize(
    ("conditions", "duration"),
    [
        (Conditions(), None),
        (Conditions(licence=HOUR), (3600, 0, KeyType.LEASE)),
        (Conditions(licence=DAY, playback=HOUR), (3600, 0, KeyType.LEASE)),
        (Conditions(playback=HOUR), (3600, 0, KeyType.LEASE)),
        (Conditions(rental=DAY), (0, 86400, KeyType.RENTAL)),
        (Conditions(licence=HOUR, rental=DAY), (3600, 86400, KeyType.LEASE_AND_RENTAL)),
        (Conditions(offline=True), (0, 0, KeyType.PERSIST)),
        (Conditions(offline=True, rental=DAY), (0, 86400, KeyType.PERSIST_LIMITED)),
        (Conditions(offline=True, licence=2 * DAY, rental=DAY, playback=HOUR), (0, 3600, KeyType.PERSIST_LIMITED)),
        (Conditions(licence=timedelta(microseconds=1)), (1, 0, KeyType.LEASE)),
        (Conditions(licence=timedelta(days=99_999)), (0xFFFFFFFF, 0, KeyType.LEASE)),
    ],
)
async def test_every_policy_arrives_as_it_is_meant(
    conditions: Conditions, duration: tuple[int, int, KeyType] | None
) -> None:
    assert (await answer(the_provider().device().ask(ASSET), conditions)).duration == duration


@pytest.mark.parametrize("hdcp", list(HdcpType))
async def test_every_demand_on_outer_screens_arrives(hdcp: HdcpType) -> None:
    assert (await answer(the_provider().device().ask(ASSET), Conditions(hdcp=hdcp))).hdcp == hdcp


@pytest.mark.parametrize("capabilities", [None, 0, 0b110])
async def test_a_device_that_knows_nothing_of_hdcp_is_told_nothing(capabilities: int | None) -> None:
    """By itself it demands HDCP of some version, so all but the strictest demand is met."""
    device = the_provider().device(capabilities=capabilities)
    for hdcp in (HdcpType.NOT_REQUIRED, HdcpType.TYPE_0):
        assert (await answer(device.ask(ASSET), Conditions(hdcp=hdcp))).hdcp is None
    with pytest.raises(CannotEnforce) as caught:
        await answer(device.ask(ASSET), Conditions(hdcp=HdcpType.TYPE_1))
    assert caught.value.condition == "hdcp"


@pytest.mark.parametrize(
    ("conditions", "which"), [(Conditions(licence=HOUR), "duration"), (Conditions(offline=True), "offline")]
)
async def test_a_device_that_knows_no_durations_gets_no_key_that_has_one(conditions: Conditions, which: str) -> None:
    device = the_provider().device(state=None)
    assert (await answer(device.ask(ASSET))).duration is None
    with pytest.raises(CannotEnforce) as caught:
        await answer(device.ask(ASSET), conditions)
    assert caught.value.condition == which


async def test_what_the_device_wants_back_comes_back() -> None:
    """Known or not, and each once, however often it is asked for."""
    strange = [(0x1122334455667788, os.urandom(33)), (0x8877665544332211, b"")]
    wanted = (client.TRANSACTION, client.ASSET, client.STREAMING, client.TRANSACTION, *(tag for tag, _ in strange))
    received = await answer(the_provider().device().ask(ASSET, wanted_back=wanted, beside=strange))
    assert received.tllvs[client.ASSET] == ASSET
    assert all(received.tllvs[tag] == value for tag, value in strange)
    assert not (await answer(the_provider().device().ask(ASSET, wanted_back=()))).tllvs.keys() & {client.TRANSACTION}


async def test_blocks_come_in_no_order_and_nothing_is_ever_the_same() -> None:
    asking = the_provider().device().ask(ASSET)
    request = module_of(the_provider()).read(asking.spc)
    ckcs = [await request.ckc(KEY, Conditions(licence=HOUR)) for _ in range(40)]
    assert len(set(ckcs)) == len(ckcs)
    assert len({asking.receive(ckc).order for ckc in ckcs}) > 1


@settings(max_examples=30, deadline=None)
@given(decoys=st.integers(0, 60), asset=st.binary(min_size=2, max_size=200))
async def test_decoys_change_nothing(decoys: int, asset: bytes) -> None:
    asking = the_provider().device().ask(asset, decoys=decoys)
    request = module_of(the_provider()).read(asking.spc)
    assert request.asset_id == asset
    assert asking.receive(await request.ckc(KEY, Conditions())).key == KEY.key


async def test_the_same_spc_is_known_again_and_another_is_not() -> None:
    """Also when it was altered on the way where it can be, in its decoys: the device cannot be asked twice by one SPC."""
    device = the_provider().device()
    asking = device.ask(ASSET)
    module = module_of(the_provider())
    again = module.read(device.container(asking.payload + client.tllv(7, b"")))
    assert module.read(asking.spc).fingerprint == again.fingerprint
    assert module.read(device.ask(ASSET).spc).fingerprint != again.fingerprint


async def test_nothing_secret_is_printed() -> None:
    asking = the_provider().device().ask(ASSET)
    request = module_of(the_provider()).read(asking.spc)
    printed = repr(request) + repr(KEY) + repr(request.spc.returned)
    for secret in (asking.session_key, asking.r1, asking.seed, KEY.key, KEY.iv):
        assert repr(secret) not in printed
        assert secret.hex() not in printed


async def test_another_deployment_does_not_read_it() -> None:
    asking = new_provider().device().ask(ASSET)
    with pytest.raises(Exception, match="another application certificate"):
        module_of(the_provider()).read(asking.spc)
