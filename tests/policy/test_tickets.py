"""Tickets, and every way to forge one that we could think of."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import string
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from services.kit.codewords import Code
from services.kit.errors import Refusal
from services.policy.domain import Package, Session, Wanted
from services.policy.tickets import Tickets, key_id_of
from services.policy.watermarks import Watermarks

NOW = datetime(2026, 11, 21, 12, 0, 0, 250_000, tzinfo=UTC)
PACKAGE = Package(
    "pkg_01jzzzzzzzzzzzzzzzzzzzzzzz",
    "ast_01jzzzzzzzzzzzzzzzzzzzzzzz",
    "org_01jzzzzzzzzzzzzzzzzzzzzzzz",
    "d",
    "h",
    "",
    "",
    (),
    NOW,
)
SESSION = Session.opened(PACKAGE, Wanted("viewer", lifetime=timedelta(hours=1)), NOW)
KEY = ec.generate_private_key(ec.SECP256R1())
PEM = KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
TICKETS = Tickets(PEM, 100)
GOOD = TICKETS.mint(SESSION, NOW)
CLAIMS: dict[str, Any] = jwt.decode(GOOD, options={"verify_signature": False})
HEADER: dict[str, Any] = jwt.get_unverified_header(GOOD)


def part(value: Any) -> str:
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def forged(
    header: dict[str, Any] | None = None, claims: dict[str, Any] | None = None, key: ec.EllipticCurvePrivateKey = KEY
) -> str:
    """A token that is signed well, but says what it likes."""
    said = HEADER | (header or {})
    return jwt.encode(CLAIMS | (claims or {}), key, algorithm="ES256", headers=said)


def invalid(token: str) -> None:
    with pytest.raises(Refusal) as caught:
        TICKETS.read(token)
    assert caught.value.reason == "TICKET_INVALID"
    assert not token or token not in str(caught.value)


def test_a_ticket_says_what_it_was_minted_for() -> None:
    ticket = TICKETS.read(GOOD)
    assert (ticket.session_id, ticket.package_id) == (SESSION.session_id, PACKAGE.package_id)
    assert ticket.organisation_id == PACKAGE.organisation_id
    assert ticket.expires == int(SESSION.expire_time.timestamp())
    assert {"alg": "ES256", "typ": "playback+jwt", "kid": key_id_of(KEY)} == HEADER


def test_a_ticket_ends_with_the_last_whole_second_of_its_session() -> None:
    ticket, end = TICKETS.read(GOOD), int(SESSION.expire_time.timestamp())
    ticket.valid_at(end - 0.001)
    with pytest.raises(Refusal) as caught:
        ticket.valid_at(end)
    assert caught.value.reason == "TICKET_EXPIRED"
    assert caught.value.metadata == {"expire_time": "2026-11-21T13:00:00Z"}


def test_two_tickets_of_one_session_differ() -> None:
    assert TICKETS.mint(SESSION, NOW) != TICKETS.mint(SESSION, NOW)


@pytest.mark.parametrize("alg", ["none", "None", "NONE", ""])
def test_an_unsigned_ticket_is_refused(alg: str) -> None:
    """CVE-2015-9235."""
    for signature in ("", part(b"x"), GOOD.rpartition(".")[2]):
        invalid(f"{part(HEADER | {'alg': alg})}.{part(CLAIMS)}.{signature}")


@pytest.mark.parametrize("encoding", [Encoding.PEM, Encoding.DER])
@pytest.mark.parametrize("alg", ["HS256", "HS384", "HS512"])
def test_the_public_key_is_no_shared_secret(alg: str, encoding: Encoding) -> None:
    """Algorithm confusion, CVE-2016-10555: the forger signs by HMAC with what everyone may know."""
    secret = KEY.public_key().public_bytes(encoding, PublicFormat.SubjectPublicKeyInfo)
    signed = f"{part(HEADER | {'alg': alg})}.{part(CLAIMS)}"
    digest = getattr(hashlib, f"sha{alg[2:]}")
    invalid(f"{signed}.{part(hmac.new(secret, signed.encode(), digest).digest())}")


def test_a_key_that_the_forger_brings_is_not_used() -> None:
    own = ec.generate_private_key(ec.SECP256R1())
    jwk = jwt.algorithms.ECAlgorithm.to_jwk(own.public_key(), as_dict=True)
    invalid(forged(key=own))
    invalid(forged({"jwk": jwk}, key=own))
    invalid(forged({"jku": "https://example.org/keys", "x5u": "https://example.org/x"}, key=own))
    invalid(forged({"kid": key_id_of(own)}, key=own))


@pytest.mark.parametrize("kid", ["", "other", "../ticket_key.pem", "' OR 1=1 --", "a" * 3000])
def test_a_ticket_of_another_key_is_refused(kid: str) -> None:
    invalid(forged({"kid": kid}))


def test_another_algorithm_with_a_good_signature_of_its_own_is_refused() -> None:
    own = rsa.generate_private_key(65537, 2048)
    invalid(jwt.encode(CLAIMS, own, algorithm="RS256", headers={"kid": HEADER["kid"], "typ": HEADER["typ"]}))


@pytest.mark.parametrize("typ", ["JWT", "at+jwt", ""])
def test_a_token_made_for_something_else_is_no_ticket(typ: str) -> None:
    """RFC 8725 §3.11: even one signed with the very key of the tickets."""
    invalid(forged({"typ": typ}))


def test_a_critical_extension_that_is_not_understood_is_refused() -> None:
    """RFC 7515 §4.1.11."""
    invalid(forged({"crit": ["exp2"], "exp2": 1}))


@pytest.mark.parametrize("claim", ["iss", "sub", "pkg", "org", "iat", "exp", "jti"])
def test_a_ticket_that_lacks_a_claim_is_refused(claim: str) -> None:
    claims = {name: value for name, value in CLAIMS.items() if name != claim}
    invalid(jwt.encode(claims, KEY, algorithm="ES256", headers=HEADER))


def test_a_ticket_of_another_issuer_is_refused() -> None:
    invalid(forged(claims={"iss": "policy.example"}))


@pytest.mark.parametrize(
    "token",
    [
        "",
        "...",
        "a.b.c",
        "é.é.é",
        GOOD + "a",
        GOOD + ".",
        GOOD + "." + part(b"x"),
        GOOD[:-1],
        GOOD + "=" * 5000,
        part(b'{"a":' + b"[" * 2900 + b"]" * 2900 + b"}")[:2000] + ".e30.AA",
        part(b'{"alg":"ES256","kid":' + b"[" * 1400 + b"]" * 1400 + b"}") + ".e30.AA",
        part(b"[]") + ".e30.AA",
        part(b"null") + ".e30.AA",
        part(b'"x"') + ".e30.AA",
    ],
)
def test_what_is_no_token_at_all_is_refused(token: str) -> None:
    invalid(token)


@given(st.integers(0, len(GOOD) - 1), st.sampled_from(string.ascii_letters + string.digits + "-_.="))
def test_one_changed_character_spoils_a_ticket(position: int, letter: str) -> None:
    """Even in the spare bits at the end of each part, which carry nothing (RFC 7515 §5.2)."""
    changed = GOOD[:position] + letter + GOOD[position + 1 :]
    if changed != GOOD:
        invalid(changed)


def test_no_more_tickets_are_remembered_than_was_said() -> None:
    few = Tickets(PEM, 3)
    minted = [few.mint(SESSION, NOW) for _ in range(10)]
    for token in minted:
        few.read(token)
    assert list(few._read) == minted[-3:]
    few.read(minted[-3])
    few.read(minted[0])
    assert minted[-3] in few._read, "one just used stays"


def test_a_key_on_another_curve_is_refused_at_start() -> None:
    other = ec.generate_private_key(ec.SECP384R1()).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    with pytest.raises(ValueError, match="P-256"):
        Tickets(other, 1)


def test_a_ticket_for_a_watermarked_package_says_the_sessions_codeword() -> None:
    root = bytes(range(32))
    tickets = Tickets(PEM, 10, Watermarks(root))
    marked = replace(PACKAGE, watermark_colluders=3, watermark_segments=100)
    claims = jwt.decode(tickets.mint(SESSION, NOW, marked), options={"verify_signature": False})
    code = Code.of(root, SESSION.asset_id, 3)
    assert claims["wm"] == code.codeword(SESSION.session_id, 100)
    for package in (None, PACKAGE):
        assert "wm" not in jwt.decode(tickets.mint(SESSION, NOW, package), options={"verify_signature": False})
    long = replace(marked, watermark_segments=100_000)
    assert len(tickets.mint(SESSION, NOW, long)) < len(tickets.mint(SESSION, NOW)) + 260


def test_two_sessions_never_have_the_same_codeword() -> None:
    watermarks = Watermarks(bytes(range(32)), remembered=2)
    words = {watermarks.codeword("ast_1", f"pbs_{n}", colluders=2, segments=60) for n in range(50)}
    assert len(words) == 50
    assert watermarks.codeword("ast_1", "pbs_0", colluders=2, segments=60) in words
