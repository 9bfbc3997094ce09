"""The envelope of access tokens: what other implementations make, and every way to forge one that we could think of."""

from __future__ import annotations

import base64
import contextlib
import json
from collections.abc import Callable
from functools import partial
from typing import Any

import cbor2
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given, settings
from hypothesis import strategies as st

from services.kit.errors import Refusal
from services.policy.cat import claims, cose
from services.policy.cat.cose import Algorithm, KeyRing, MacKey, Malformed, SignatureKey, opened, sealed
from services.policy.cat.keys import key_ring, new_key_file, public_pem

SECRET = bytes.fromhex("403697de87af64611c1d32a05dab0fe1fcb715a86ab435f1ec99192d79569388")
PRIVATE = ec.generate_private_key(ec.SECP256R1())
MAC = MacKey("mac", SECRET)
SIGNATURE = SignatureKey("signature", PRIVATE.public_key(), PRIVATE)
KEYS = KeyRing([MAC, SIGNATURE, MacKey("Symmetric256", SECRET), MacKey("akamai_key_hs256", SECRET)])
CLAIMS = {1: "issuer", 2: "subject", 4: 2_000_000_000, 7: b"id"}
GOOD = {key.algorithm: sealed(CLAIMS, key) for key in (MAC, SIGNATURE)}

# Tokens that other implementations made, from public test vectors.
TEXT_AS_PAYLOAD = "0YRDoQEFoQRMU3ltbWV0cmljMjU2eDZkOTAxMDNhMTAxNzU2MzZmNjE3MDNhMmYyZjYxNzMyZTY1Nzg2MTZkNzA2YzY1MmU2MzZmNmRYIDL8dIteq8pMXXX9oL4eo2NX1kQUaselV6p_JHSEVXWX"
BY_OTHERS = {
    "2D3RhEOhAQWhBFBha2FtYWlfa2V5X2hzMjU2WCijAXgYY29hcDovL2pvbmFzLmV4YW1wbGUuY29tBhpn1JipBRpn1JipWCCX4nQb8SYQoa0SFLxE2Rh35DdTjoA9TzOSy1IP9O1BGQ": {
        1: "coap://jonas.example.com",
        6: 1741985961,
        5: 1741985961,
    },
    "2D3RhEOhAQWhBFBha2FtYWlfa2V5X2hzMjU2VKMBZWpvbmFzBhpn12U-BRpn12U-WCDf1xHvhcnvyXUxd-DP4RAbayc8nC2PLJPPPbF3S00ruw": {
        1: "jonas",
        6: 1742169406,
        5: 1742169406,
    },
}


def text(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def raw(token: str) -> bytes:
    return base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))


def made(
    *,
    protected: Any = None,
    unprotected: Any = None,
    payload: Any = None,
    tag: int = 17,
    key: cose.Key = MAC,
    signature: Callable[[bytes], bytes] | None = None,
    context: str = "",
    around: Callable[[Any], Any] = lambda message: cbor2.CBORTag(61, message),
) -> str:
    """A token that is signed well, but put together as it likes."""
    head = cbor2.dumps({1: key.algorithm.value}) if protected is None else protected
    body = cbor2.dumps(CLAIMS) if payload is None else payload
    message = cbor2.dumps([context or key.algorithm.context, head, b"", body])
    sign = signature or key.sign
    parts = [head, {4: key.key_id.encode()} if unprotected is None else unprotected, body, sign(message)]
    return text(cbor2.dumps(around(cbor2.CBORTag(tag, parts))))


def _always(signature: bytes, _message: bytes) -> bytes:
    return signature


def refused(token: str) -> None:
    with pytest.raises(Malformed):
        opened(token, KEYS)


@pytest.mark.parametrize("token", BY_OTHERS)
def test_tokens_of_other_implementations_are_read(token: str) -> None:
    payload, key = opened(token, KEYS)
    assert (dict(payload), key.key_id) == (BY_OTHERS[token], "akamai_key_hs256")
    assert claims.read(payload).starts == BY_OTHERS[token][5]


def test_a_token_whose_payload_is_a_text_is_refused() -> None:
    """An old node-cat without the tag of CBOR Web Tokens writes the claims as hex in a text; COSE wants a byte string (RFC 9052 §4.2)."""
    refused(TEXT_AS_PAYLOAD)


@pytest.mark.parametrize("algorithm", Algorithm)
def test_what_is_sealed_can_be_opened(algorithm: Algorithm) -> None:
    payload, key = opened(GOOD[algorithm], KEYS)
    assert (dict(payload), key.algorithm) == (CLAIMS, algorithm)
    assert made() == GOOD[Algorithm.HS256]


def test_the_outer_tag_may_be_missing_but_not_the_inner_one() -> None:
    assert dict(opened(made(around=lambda message: message), KEYS)[0]) == CLAIMS
    refused(made(around=lambda message: message.value))
    refused(made(around=lambda message: cbor2.CBORTag(61, message.value)))
    refused(made(around=lambda message: cbor2.CBORTag(61, cbor2.CBORTag(61, message))))
    refused(made(around=lambda message: cbor2.CBORTag(55799, message)))


def test_the_public_key_is_no_shared_secret() -> None:
    """Algorithm confusion: the forger makes a MAC with what everyone may know."""
    for encoding, form in (
        (Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
        (Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
        (Encoding.X962, PublicFormat.UncompressedPoint),
    ):
        forger = MacKey("signature", PRIVATE.public_key().public_bytes(encoding, form))
        refused(made(key=forger))
        refused(made(key=forger, tag=18))


@pytest.mark.parametrize("number", [4, 6, 7, -7, -8, -35, -37, 0, 1, None, "HS256", True, 5.0, 2**70])
def test_a_header_that_names_another_algorithm_is_refused(number: Any) -> None:
    refused(made(protected=cbor2.dumps({1: number})))


def test_a_header_without_algorithm_is_refused_even_if_the_other_header_has_it() -> None:
    """Only what is signed may say how."""
    refused(made(protected=b""))
    refused(made(protected=cbor2.dumps({})))
    refused(made(protected=cbor2.dumps({}), unprotected={1: 5, 4: b"mac"}))
    refused(made(unprotected={1: 5, 4: b"mac"}))


def test_the_tag_fits_the_algorithm() -> None:
    refused(made(tag=18))
    refused(made(tag=17, key=SIGNATURE))
    refused(made(tag=16))
    refused(made(tag=98))
    refused(made(context="Signature1"))
    refused(made(key=SIGNATURE, tag=18, context="MAC0"))


def test_headers_say_nothing_else() -> None:
    """Critical parameters would have to be understood (RFC 9052 §3.1); there is none that is."""
    odd: list[dict[Any, Any]] = [{2: [99], 99: 1}, {3: "application/cwt"}, {5: b"iv"}, {16: "cwt"}, {"alg": 5}]
    for more in odd:
        refused(made(protected=cbor2.dumps({1: 5, **more}, canonical=True)))
        refused(made(unprotected={4: b"mac", **more}))


def test_there_is_one_key_id() -> None:
    refused(made(unprotected={}))
    refused(made(unprotected={4: "mac"}))
    refused(made(unprotected={4: b"other"}))
    refused(made(unprotected={4: b"\xff\xfe"}))
    refused(made(unprotected={4: b"mac"}, protected=cbor2.dumps({1: 5, 4: b"mac"})))
    assert opened(made(unprotected={}, protected=cbor2.dumps({1: 5, 4: b"mac"})), KEYS)[1] is MAC


def test_the_protected_header_is_in_its_shortest_form() -> None:
    for odd in (
        b"\xa1\x01\x18\x05",
        b"\xa1\x18\x01\x05",
        b"\xbf\x01\x05\xff",
        b"\xb8\x01\x01\x05",
        b"\xa2\x01\x05\x01\x05",
    ):
        refused(made(protected=odd))
    refused(made(protected=b"\xa1\x01\x05\x00"))
    refused(made(protected=cbor2.dumps([1, 5])))


def test_a_mac_is_whole_and_a_signature_of_two_halves() -> None:
    refused(made(signature=lambda message: MAC.sign(message)[:8]))
    refused(made(signature=lambda message: MAC.sign(message)[:31]))
    refused(made(signature=lambda message: MAC.sign(message) + b"\0"))
    refused(made(signature=lambda _: b""))
    for odd in (b"", b"\0" * 64, b"\xff" * 64, b"\0" * 63, b"\0" * 65):
        refused(made(key=SIGNATURE, tag=18, signature=partial(_always, odd)))
    other = ec.generate_private_key(ec.SECP256R1())
    refused(made(key=SignatureKey("signature", other.public_key(), other), tag=18))


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"\xa1",
        cbor2.dumps([1]),
        cbor2.dumps("x"),
        cbor2.dumps(CLAIMS) + b"\0",
        b"\xa2\x01\x61a\x01\x61b",
        b"\xbf\x01\x61a\xff",
        cbor2.dumps({4: cbor2.CBORTag(1, 5)}),
        cbor2.dumps({4: cbor2.CBORTag(2, b"\xff" * 2000)}),
        cbor2.dumps({4: cbor2.CBORTag(4, [10**9, 1])}),
        cbor2.dumps({4: cbor2.CBORTag(35, "(a*)*b")}),
        cbor2.dumps({4: cbor2.CBORTag(29, 0)}),
        b"\xa1\x04\xd8\x1c\x81\xd8\x1d\x00",
        b"\xa1\x04" + b"\x81" * 1000 + b"\x00",
        b"\xa1\x04\x9b\x00\xff\xff\xff\xff\xff\xff\xff",
        b"\xa1\x04\x5b\x7f\xff\xff\xff\xff\xff\xff\xff",
        b"\xbb\xff\xff\xff\xff\xff\xff\xff\xff",
        b"\xa1\x04\x61\xff",
        b"\xa1\xa0\x04",
    ],
)
def test_a_payload_that_is_no_map_or_makes_a_decoder_work_is_refused(payload: bytes) -> None:
    """Though it is signed with a good key: of several issuers one may be careless."""
    with pytest.raises((Malformed, Refusal)):
        claims.read(opened(made(payload=payload), KEYS)[0])


@pytest.mark.parametrize(
    "token",
    [
        "",
        "=",
        "a",
        "....",
        "é",
        "a" * 4097,
        GOOD[Algorithm.HS256] + "=",
        GOOD[Algorithm.HS256] + "A",
        " " + GOOD[Algorithm.HS256],
    ],
)
def test_what_is_no_token_at_all_is_refused(token: str) -> None:
    refused(token)


def test_spare_bits_at_the_end_are_zero() -> None:
    token = next(text for text in GOOD.values() if len(text) % 4)
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    last = letters.index(token[-1])
    refused(token[:-1] + letters[last ^ 1])


@settings(max_examples=400, deadline=None)
@given(st.sampled_from(list(GOOD.values())), st.integers(0, 10_000), st.integers(1, 255))
def test_one_changed_byte_spoils_a_token(token: str, position: int, change: int) -> None:
    """Whichever it is: there is no second form of the same token."""
    found = bytearray(raw(token))
    found[position % len(found)] ^= change
    refused(text(bytes(found)))


_CWT_TAG = bytes.fromhex("d83d")  # RFC 8392 §6


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(list(GOOD.values())), st.data())
def test_a_token_that_is_cut_joined_or_filled_is_refused(token: str, data: st.DataObject) -> None:
    found = raw(token)
    start, end = sorted(data.draw(st.tuples(st.integers(0, len(found)), st.integers(0, len(found)))))
    changed = found[:start] + data.draw(st.binary(max_size=40)) + found[end:]
    # The outer tag says only that it is a CBOR Web Token, and may be left off.
    if changed.removeprefix(_CWT_TAG) != found.removeprefix(_CWT_TAG):
        refused(text(changed))


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=300))
def test_bytes_of_no_meaning_are_refused(found: bytes) -> None:
    refused(text(found))


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.binary(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.integers(-3, 10) | st.text(max_size=3), inner, max_size=3)
        | st.tuples(st.sampled_from([0, 1, 2, 35, 52, 54, 61]), inner).map(lambda pair: cbor2.CBORTag(*pair))
    ),
    max_leaves=8,
)


@settings(max_examples=500, deadline=None)
@given(st.dictionaries(st.sampled_from([*claims.Label, 8, 309, 314, 999]).map(int), _VALUES, max_size=4))
def test_whatever_a_good_key_signed_is_read_or_refused_by_name(payload: dict[int, Any]) -> None:
    with contextlib.suppress(Malformed, Refusal):
        claims.read(opened(made(payload=cbor2.dumps(payload)), KEYS)[0])


class TestKeyFile:
    def test_a_new_one_signs_by_both_algorithms(self) -> None:
        ring = key_ring(new_key_file())
        for algorithm in Algorithm:
            key = ring.signing(algorithm)
            assert dict(opened(sealed(CLAIMS, key), ring)[0]) == CLAIMS

    def test_a_public_key_checks_and_does_not_sign(self) -> None:
        entry = {"key_id": "out", "algorithm": "ES256", "public_key": public_pem(SIGNATURE), "issuers": ["them"]}
        ring = key_ring(json.dumps({"keys": [entry]}).encode())
        theirs = SignatureKey("out", PRIVATE.public_key(), PRIVATE)
        assert opened(sealed(CLAIMS, theirs), ring)[1].issuers == {"them"}
        with pytest.raises(KeyError):
            ring.signing(Algorithm.ES256)
        with pytest.raises(ValueError, match="only checks"):
            next(iter(ring)).sign(b"")

    def test_old_keys_go_on_checking_when_a_new_one_signs(self) -> None:
        old, new = json.loads(new_key_file())["keys"], json.loads(new_key_file())["keys"]
        before, after = (key_ring(json.dumps({"keys": keys}).encode()) for keys in (old, new + old))
        for algorithm in Algorithm:
            assert opened(sealed(CLAIMS, before.signing(algorithm)), after)
            assert after.signing(algorithm).key_id in {entry["key_id"] for entry in new}

    @pytest.mark.parametrize(
        "content",
        [
            b"",
            b"[]",
            b"{}",
            b'{"keys": [{}]}',
            b'{"keys": [{"key_id": "a", "algorithm": "HS256", "secret": "c2hvcnQ="}]}',
            b'{"keys": [{"key_id": "a", "algorithm": "none", "secret": ""}]}',
            b'{"keys": [{"key_id": "a", "algorithm": "ES256", "public_key": "x"}]}',
        ],
    )
    def test_a_file_that_is_wrong_is_refused_at_start(self, content: bytes) -> None:
        with pytest.raises(ValueError, match=r".") as caught:
            key_ring(content)
        assert "c2hvcnQ" not in str(caught.value)

    def test_two_keys_of_one_name_are_refused(self) -> None:
        entries = json.loads(new_key_file())["keys"]
        with pytest.raises(ValueError, match="two keys"):
            key_ring(json.dumps({"keys": entries + entries}).encode())

    def test_no_secret_is_printed(self) -> None:
        assert "403697" not in repr(MAC)
        assert SECRET.hex() not in repr(MAC)
        assert repr(SECRET) not in repr(MAC)
