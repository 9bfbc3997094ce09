"""SPCs that no device makes: each is refused with the number that Key Security Modules have for it, and nothing else ever comes out."""

from __future__ import annotations

import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.drm.domain import ContentKey
from services.drm.fairplay import status
from services.drm.fairplay.ckc import Terms, make_ckc
from services.drm.fairplay.conditions import Conditions
from services.drm.fairplay.credentials import Credentials
from services.drm.fairplay.module import OwnModule, OwnRequest
from services.drm.fairplay.spc import MOST_BYTES, Derive, version_of
from services.drm.fairplay.status import BY_STATUS, KsmError
from services.drm.fairplay.tllv import read_all
from tests.support import fairplay_client as client
from tests.support.fairplay_client import Asking, number, tllv
from tests.support.fairplay_d import broken, derive, short
from tests.support.fairplay_provider import Provider, new_provider, the_provider

ASSET = b"skd://000102030405060708090a0b0c0d0e0f"
SOMETIMES_THERE = (client.STREAMING, client.PLAYBACK_STATE, client.CAPABILITIES)


def module(provider: Provider | None = None, d: Derive = derive, ask: bytes = b"") -> OwnModule:
    provider = provider or the_provider()
    secret = ask or provider.application_secret_key
    return OwnModule(Credentials(provider.certificate, provider.private_key, secret), d)


def refused(spc: bytes, reader: OwnModule | None = None) -> KsmError:
    with pytest.raises(KsmError) as caught:
        (reader or module()).read(spc)
    return caught.value


def ask(**fields: object) -> Asking:
    return the_provider().device().ask(ASSET, **fields)  # type: ignore[arg-type] # by name


def sealed(payload: bytes) -> bytes:
    return the_provider().device().container(payload)


def test_the_numbers_are_those_of_the_programming_guide() -> None:
    assert sorted(BY_STATUS, reverse=True) == list(range(-42580, -42592, -1))
    assert (BY_STATUS[-42583], BY_STATUS[-42589], BY_STATUS[-42591]) == (
        status.MissingTag,
        status.BrokenIntegrity,
        status.DuplicateTag,
    )


def test_cut_off_after_any_byte() -> None:
    whole = ask().spc
    for length in range(len(whole)):
        assert refused(whole[:length]).status == -42581, length


def test_longer_than_it_says() -> None:
    assert refused(ask().spc + b"\0").status == -42581
    assert refused(ask().spc + bytes(16)).status == -42581
    assert refused(number(1, 4) + bytes(MOST_BYTES)).status == -42581


@pytest.mark.parametrize("version", [0, 2, 3, 0x01000000, 0xFFFFFFFF])
def test_of_another_version(version: int) -> None:
    spc = number(version, 4) + ask().spc[4:]
    assert refused(spc).status == -42580
    assert version_of(spc) == version


def test_what_is_reserved_is_not_looked_at() -> None:
    spc = ask().spc
    assert module().read(spc[:4] + b"\xff\xff\xff\xff" + spc[8:]).asset_id == ASSET


def test_no_payload_at_all_and_one_of_no_whole_blocks() -> None:
    header = ask().spc[:172]
    for payload in (b"", bytes(15), bytes(17)):
        assert refused(header + number(len(payload), 4) + payload).status == -42581


def test_for_another_certificate() -> None:
    assert refused(new_provider().device().ask(ASSET).spc).status == -42585


def test_a_key_that_does_not_open_or_is_none() -> None:
    spc = ask().spc
    assert refused(spc[:24] + os.urandom(128) + spc[152:]).status == -42588
    assert refused(spc[:24] + b"\xff" * 128 + spc[152:]).status == -42588
    for size in (1, 15, 17, 32):
        assert refused(the_provider().device().container(ask().payload, key=os.urandom(size))).status == -42588


def test_with_another_application_secret_key_nothing_holds_together() -> None:
    assert refused(ask().spc, module(ask=os.urandom(16))).status == -42589


def test_session_keys_of_another_spc_do_not_pass() -> None:
    """What one device bound together cannot be put together with another's."""
    other = dict(client.untangled(ask().payload))
    for tag in (client.SKR1, client.SKR1_INTEGRITY, client.R2):
        assert refused(ask(changed={tag: other[tag]}).spc).status == -42589


@pytest.mark.parametrize("tag", client.EVERY_SPC_HAS)
def test_every_tag_that_must_be_there(tag: int) -> None:
    error = refused(ask(without={tag}, wanted_back=()).spc)
    assert error.status == -42583


@pytest.mark.parametrize("tag", SOMETIMES_THERE)
def test_tags_that_need_not_be_there(tag: int) -> None:
    assert module().read(ask(without={tag}).spc).asset_id == ASSET


@pytest.mark.parametrize("tag", [*client.EVERY_SPC_HAS, *SOMETIMES_THERE])
def test_no_tag_is_there_twice(tag: int) -> None:
    """Not with the same value either: which of two counts is not for a sender to choose."""
    values = dict(client.untangled(ask().payload))
    for value in (values[tag], os.urandom(len(values[tag]))):
        assert refused(ask(beside=[(tag, value)]).spc).status == -42591


def test_a_decoy_may_be_there_twice_unless_it_is_wanted_back() -> None:
    twice = [(5, b"one"), (5, b"other")]
    assert module().read(ask(beside=twice).spc).asset_id == ASSET
    assert refused(ask(beside=twice, wanted_back=(5,)).spc).status == -42591


def test_what_is_wanted_back_must_be_there() -> None:
    assert refused(ask(wanted_back=(0x1234,)).spc).status == -42583
    assert refused(ask(changed={client.RETURN_REQUEST: bytes(7)}).spc).status == -42581


@pytest.mark.parametrize("tag", [client.CONTENT_KEY, client.R1, client.DURATION, client.HDCP])
def test_what_the_module_writes_cannot_be_wanted_back(tag: int) -> None:
    """Or a sender would have two key durations in its CKC, one of them its own."""
    assert refused(ask(beside=[(tag, os.urandom(16))], wanted_back=(tag,)).spc).status == -42585
    assert module().read(ask(beside=[(tag, os.urandom(16))]).spc).asset_id == ASSET


@pytest.mark.parametrize(
    ("tag", "sizes"),
    [
        (client.SKR1, (0, 96, 111, 113, 128)),
        (client.SKR1_INTEGRITY, (0, 15, 17)),
        (client.AR, (0, 15, 17, 32)),
        (client.R2, (0, 257)),
        (client.ASSET, (0, 1, 201)),
        (client.TRANSACTION, (0, 7, 9)),
        (client.VERSIONS, (0, 3, 5, 260)),
        (client.VERSION_USED, (0, 3, 5)),
        (client.RETURN_REQUEST, (1, 9, 1032)),
        (client.STREAMING, (0, 7, 9)),
        (client.PLAYBACK_STATE, (0, 8, 15, 17)),
        (client.CAPABILITIES, (0, 8, 17)),
    ],
)
def test_values_of_another_length(tag: int, sizes: tuple[int, ...]) -> None:
    for size in sizes:
        assert refused(ask(changed={tag: os.urandom(size)}, wanted_back=()).spc).status == -42581, size


@pytest.mark.parametrize(("used", "listed"), [(0, (0,)), (1, (2,)), (4, (4,)), (0xFFFFFFFF, (1,))])
def test_versions_of_the_protocol_that_are_not_known_or_not_listed(used: int, listed: tuple[int, ...]) -> None:
    device = the_provider().device(version_used=used, versions=listed)
    assert refused(device.ask(ASSET).spc).status == -42590


class TestTllvs:
    def test_lengths_that_point_elsewhere(self) -> None:
        for block, size in (
            (0xFFFFFFFF, 4),
            (0xFFFFFFF0, 4),
            (48, 4),
            (17, 4),
            (16, 17),
            (16, 0xFFFFFFFF),
            (0, 1),
        ):
            crooked = number(9, 8) + number(block, 4) + number(size, 4) + bytes(16)
            assert refused(sealed(ask().payload + crooked)).status == -42581, (block, size)

    def test_bytes_after_the_last_one(self) -> None:
        with pytest.raises(status.Malformed):
            read_all(tllv(1, b"x") + bytes(15))

    def test_one_without_value_and_one_without_block(self) -> None:
        empty = number(3, 8) + bytes(8)
        assert [found.value for found in read_all(empty + tllv(4, b"") + tllv(5, b"", more_blocks=1))] == [
            b"",
            b"",
            b"",
        ]

    def test_more_than_anybody_needs(self) -> None:
        empty = number(3, 8) + bytes(8)
        assert len(read_all(empty * 256)) == 256
        with pytest.raises(status.Malformed):
            read_all(empty * 257)

    @settings(max_examples=500, deadline=None)
    @given(payload=st.binary(max_size=400))
    def test_any_bytes_are_tllvs_or_malformed(self, payload: bytes) -> None:
        try:
            found = read_all(payload)
        except status.Malformed:
            return
        assert sum(16 + len(one.value) for one in found) <= len(payload)

    @given(pairs=st.lists(st.tuples(st.integers(0, 2**64 - 1), st.binary(max_size=50)), max_size=20))
    def test_what_a_device_writes_is_read(self, pairs: list[tuple[int, bytes]]) -> None:
        written = b"".join(tllv(tag, value) for tag, value in pairs)
        assert [(found.tag, found.value) for found in read_all(written)] == pairs
        assert client.untangled(b"".join(found.encoded() for found in read_all(written))) == pairs


async def only_for(asking: Asking, request: OwnRequest) -> None:
    """The answer is of use to the device that asked, or to nobody."""
    ckc = await request.ckc(ContentKey("HD", bytes(16), os.urandom(16), bytes(16)), Conditions())
    try:
        asking.receive(ckc)
    except (AssertionError, KeyError):
        return
    assert request.session.r1 == asking.r1


class TestAnything:
    """Whatever is sent, the answer is an SPC that was read, or a number."""

    @settings(max_examples=300, deadline=None)
    @given(spc=st.binary(max_size=600))
    def test_random_bytes(self, spc: bytes) -> None:
        refused(spc)

    @settings(max_examples=300, deadline=None)
    @given(at=st.integers(0, 10_000), mask=st.integers(1, 255))
    async def test_one_byte_of_an_honest_one_changed(self, at: int, mask: int) -> None:
        """The protocol's integrity is no signature: a byte of the session's secrets can change unseen, and then nobody opens the answer."""
        spc = bytearray(HONEST.spc)
        spc[at % len(spc)] ^= mask
        try:
            request = module().read(bytes(spc))
        except KsmError:
            return
        await only_for(HONEST, request)

    @settings(max_examples=300, deadline=None)
    @given(payload=st.lists(st.binary(min_size=16, max_size=16), max_size=40).map(b"".join))
    def test_any_payload_in_a_good_envelope(self, payload: bytes) -> None:
        refused(sealed(payload))

    @settings(max_examples=300, deadline=None)
    @given(data=st.data())
    async def test_an_honest_payload_with_pieces_cut_out_and_put_in(self, data: st.DataObject) -> None:
        payload = bytearray(HONEST.payload)
        for _ in range(data.draw(st.integers(1, 4))):
            start = data.draw(st.integers(0, len(payload)))
            end = min(len(payload), start + data.draw(st.integers(0, 40)))
            payload[start:end] = data.draw(st.binary(max_size=40))
        payload = payload[: len(payload) // 16 * 16]
        try:
            request = module().read(sealed(bytes(payload)))
        except KsmError:
            return
        await only_for(HONEST, request)


HONEST = the_provider().device().ask(ASSET)


class TestTheOperatorsDFunction:
    def test_one_that_fails_tells_nothing(self) -> None:
        error = refused(ask().spc, module(d=broken))
        assert error.status == -42588
        assert the_provider().application_secret_key.hex() not in repr(error)
        assert error.__cause__ is None
        assert error.__suppress_context__

    def test_one_that_gives_no_key(self) -> None:
        assert refused(ask().spc, module(d=short)).status == -42588


async def test_keys_and_durations_that_cannot_be_said() -> None:
    request = module().read(ask().spc)
    for key, iv in ((bytes(15), bytes(16)), (bytes(16), b""), (bytes(32), bytes(16))):
        with pytest.raises(status.CkcFailed):
            await request.ckc(ContentKey("HD", bytes(16), key, iv), Conditions())
    assert make_ckc(request.spc, request.session, bytes(16), bytes(16), Terms())
