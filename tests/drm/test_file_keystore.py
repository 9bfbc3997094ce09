"""Envelope encryption: what opens with what."""

from __future__ import annotations

import traceback
from dataclasses import replace

import pytest

from services.drm.domain import ContentKey
from services.drm.keystores.file import FileKeystore
from services.drm.keystores.keystore import AesGcmKey, Locked
from services.drm.store import SealedKey

ROOT = bytes(range(32))


def test_key_wrapping_is_that_of_rfc_3394() -> None:
    """RFC 3394 §4.6: 256 bits of key data with a 256-bit key. What is unwrapped shows itself in what it seals."""
    root = bytes.fromhex("000102030405060708090A0B0C0D0E0F101112131415161718191A1B1C1D1E1F")
    wrapped = bytes.fromhex("28C9F404C4B810F4CBCCB35CFB87F8263F5786E2D80ED326CBC7F0E71A99F43BFB988B9B7A02DD21")
    data = bytes.fromhex("00112233445566778899AABBCCDDEEFF000102030405060708090A0B0C0D0E0F")
    sealed = FileKeystore(root).open(wrapped).seal(b"secret", b"bound")
    assert AesGcmKey(data).unseal(sealed, b"bound") == b"secret"


def test_sealing_is_aes_256_gcm_with_the_nonce_in_front() -> None:
    """Test case 16 of the GCM specification (McGrew and Viega), appendix B."""
    key = bytes.fromhex("feffe9928665731c6d6a8f9467308308" * 2)
    nonce = bytes.fromhex("cafebabefacedbaddecaf888")
    bound_to = bytes.fromhex("feedfacedeadbeeffeedfacedeadbeefabaddad2")
    sealed = bytes.fromhex(
        "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa"
        "8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f66276fc6ece0f4e1768cddf8853bb2d551b"
    )
    assert AesGcmKey(key).unseal(nonce + sealed, bound_to).hex().startswith("d9313225f88406e5a55909c5aff5269a")


def test_what_is_sealed_opens_again_and_never_looks_the_same_twice() -> None:
    key = FileKeystore(ROOT).open(FileKeystore(ROOT).new_key_encryption_key())
    sealed = [key.seal(b"k" * 32, b"org|kid|1") for _ in range(2)]
    assert sealed[0] != sealed[1]
    assert {key.unseal(one, b"org|kid|1") for one in sealed} == {b"k" * 32}


def test_another_root_key_opens_nothing() -> None:
    wrapped = FileKeystore(ROOT).new_key_encryption_key()
    with pytest.raises(Locked):
        FileKeystore(bytes(32)).open(wrapped)


@pytest.mark.parametrize("wrapped", [b"", b"x" * 39, b"x" * 40, b"x" * 48])
def test_what_was_never_wrapped_does_not_open(wrapped: bytes) -> None:
    with pytest.raises(Locked):
        FileKeystore(ROOT).open(wrapped)


@pytest.mark.parametrize("length", [0, 16, 31, 33, 64])
def test_a_root_key_of_another_length_is_refused_at_start(length: int) -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        FileKeystore(bytes(length))


@pytest.mark.parametrize(
    "changed",
    [
        {"organisation_id": "org_other"},
        {"key_id": b"2" * 16},
        {"version": 2},
    ],
)
def test_a_row_cannot_stand_in_for_another(changed: dict[str, object]) -> None:
    """The seal is bound to organisation, key id and version."""
    kek = AesGcmKey(ROOT)
    row = SealedKey(b"1" * 16, "pkg_1", "HD", "org_1", "kek_1", 1, b"")
    assert row.bound_to == f"org_1|{'31' * 16}|1".encode()
    sealed = kek.seal(b"secret", row.bound_to)
    assert kek.unseal(sealed, replace(row).bound_to) == b"secret"
    with pytest.raises(Locked):
        kek.unseal(sealed, replace(row, **changed).bound_to)  # type: ignore[arg-type]


@pytest.mark.parametrize("position", [0, 11, 12, 27, 28, 43, -1])
def test_one_changed_bit_spoils_a_seal(position: int) -> None:
    sealed = bytearray(AesGcmKey(ROOT).seal(b"k" * 32, b""))
    sealed[position] ^= 1
    with pytest.raises(Locked):
        AesGcmKey(ROOT).unseal(bytes(sealed), b"")


def test_a_seal_that_was_cut_short_does_not_open() -> None:
    for length in (0, 5, 12, 20, 27):
        with pytest.raises(Locked):
            AesGcmKey(ROOT).unseal(b"x" * length, b"")


def test_keys_do_not_print() -> None:
    """Neither in a `repr` nor in the traceback of whatever went wrong."""
    key = ContentKey.new("HD")
    for shown in (
        repr(key),
        str(key),
        f"{key}",
        repr([key]),
        repr(AesGcmKey(key.key + key.iv)),
        repr(FileKeystore(ROOT)),
    ):
        assert key.key.hex() not in shown
        assert repr(key.key)[2:-1] not in shown
        assert repr(key.iv)[2:-1] not in shown
    with pytest.raises(Locked) as caught:
        FileKeystore(ROOT).open(b"x" * 40)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__, "the library's own error is not printed"
    assert ROOT.hex() not in "".join(traceback.format_exception(caught.value))
