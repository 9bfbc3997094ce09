"""Proofs of possession (RFC 9449)."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt
import pytest

from services.kit import dpop
from services.kit.clock import FixedClock
from services.kit.dpop import REST_HEADER, Proofs, thumbprint
from services.kit.errors import Refusal
from tests.support.dpop import KeyHolder, digest_of

NOW = datetime(2026, 11, 28, 12, tzinfo=UTC)
EDGE = "https://video.example"
METHOD = "/reelmesh.assets.v1.AssetsService/GetAsset"
TOKEN = "an.access.token"

# RFC 9449 §7.1, figure 12, and §6.1 for the thumbprint.
RFC_PROOF = (
    "eyJ0eXAiOiJkcG9wK2p3dCIsImFsZyI6IkVTMjU2IiwiandrIjp7Imt0eSI6IkVDIiwieCI6Imw4dEZyaHgtMzR0VjNoUklDUkRZOXpDa0RscEJoRjQyVVFVZldWQVdCR"
    "nMiLCJ5IjoiOVZFNGpmX09rX282NHpiVFRsY3VOSmFqSG10NnY5VERWclUwQ2R2R1JEQSIsImNydiI6IlAtMjU2In19.eyJqdGkiOiJlMWozVl9iS2ljOC1MQUVCIiwia"
    "HRtIjoiR0VUIiwiaHR1IjoiaHR0cHM6Ly9yZXNvdXJjZS5leGFtcGxlLm9yZy9wcm90ZWN0ZWRyZXNvdXJjZSIsImlhdCI6MTU2MjI2MjYxOCwiYXRoIjoiZlVIeU8ycj"
    "JaM0RaNTNFc05yV0JiMHhXWG9hTnk1OUlpS0NBcWtzbVFFbyJ9.2oW9RP35yRqzhrtNP86L-Ey71EOptxRimPPToA1plemAgR6pxHF8y6-yqyVnmcw6Fy1dqd-jfxSYoM"
    "xhAJpLjA"
)
RFC_TOKEN = "Kz~8mXK1EalYznwH-LC-1fBAo.4Ljp~zsPE_NeO.gxU"
RFC_THUMBPRINT = "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"


@pytest.fixture
def clock() -> FixedClock:
    return FixedClock(NOW)


@pytest.fixture
def proofs(clock: FixedClock) -> Proofs:
    return Proofs(clock, EDGE)


@pytest.fixture
def holder() -> KeyHolder:
    return KeyHolder()


def problem(proofs: Proofs, proof: str, *, token: str = "", bound_to: str = "", **metadata: str) -> str:
    """Why a proof is refused; empty when it is not."""
    shown = {"dpop": proof, **{name.replace("_", "-"): value for name, value in metadata.items()}}
    try:
        if bound_to:
            proofs.require(bound_to, "dpop", token, shown, METHOD)
        else:
            proofs.proven(shown, METHOD, token)
    except Refusal as refusal:
        return refusal.metadata["problem"]
    return ""


def strange(holder: KeyHolder, header: dict[str, Any], jti: str = "1") -> str:
    """A proof that a decent library does not write."""
    claims = {"jti": jti, "htm": "POST", "htu": EDGE + METHOD, "iat": int(NOW.timestamp())}
    whole = {"typ": "dpop+jwt", "jwk": holder.key.as_dict(private=False), **header}
    return jwt.encode(claims, holder.pem, algorithm="ES256", headers=whole)


def test_the_example_of_the_rfc_is_good_at_its_time_and_place() -> None:
    moment = datetime.fromtimestamp(1562262618, UTC)
    proofs = Proofs(FixedClock(moment), "https://resource.example.org")
    shown = {"dpop": RFC_PROOF, REST_HEADER: "GET /protectedresource"}
    proofs.require(RFC_THUMBPRINT, "dpop", RFC_TOKEN, shown, METHOD)
    with pytest.raises(Refusal, match="PROOF_INVALID"):
        proofs.require(RFC_THUMBPRINT, "dpop", RFC_TOKEN, shown, METHOD)


def test_thumbprints_are_those_of_the_rfcs() -> None:
    """RFC 8037 appendix A.3, and what another library says."""
    ed25519 = {"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo", "use": "sig"}
    assert thumbprint(ed25519) == "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"
    for algorithm in ("ES256", "EdDSA"):
        holder = KeyHolder(algorithm)
        assert thumbprint(holder.key.as_dict(private=False)) == holder.thumbprint


@pytest.mark.parametrize("algorithm", ["ES256", "EdDSA"])
def test_who_holds_the_key_gets_in_once_with_each_proof(proofs: Proofs, clock: FixedClock, algorithm: str) -> None:
    holder = KeyHolder(algorithm)
    proof = holder.proof(NOW, "POST", EDGE + METHOD, TOKEN)
    assert problem(proofs, proof, token=TOKEN, bound_to=holder.thumbprint) == ""
    assert problem(proofs, proof, token=TOKEN, bound_to=holder.thumbprint) == "replayed"
    clock.advance(timedelta(seconds=60))
    assert problem(proofs, proof, token=TOKEN, bound_to=holder.thumbprint) == "replayed"
    clock.advance(timedelta(seconds=1))
    assert problem(proofs, proof, token=TOKEN, bound_to=holder.thumbprint) == "stale"


def test_a_request_that_the_edge_sends_again_is_no_replay(proofs: Proofs, holder: KeyHolder) -> None:
    proof = holder.proof(NOW, "POST", EDGE + METHOD)
    assert problem(proofs, proof, x_request_id="one") == ""
    assert problem(proofs, proof, x_request_id="one") == ""
    assert problem(proofs, proof, x_request_id="two") == "replayed"
    assert problem(proofs, proof) == "replayed"


def test_a_proof_by_another_key_is_of_no_use(proofs: Proofs, holder: KeyHolder) -> None:
    proof = KeyHolder().proof(NOW, "POST", EDGE + METHOD, TOKEN)
    assert problem(proofs, proof, token=TOKEN, bound_to=holder.thumbprint) == "other_key"


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"htm": "GET"}, "other_request"),
        ({"htm": "post"}, "other_request"),
        ({"htu": EDGE + "/other.Service/Method"}, "other_request"),
        ({"htu": "https://evil.example" + METHOD}, "other_request"),
        ({"htu": "http://video.example" + METHOD}, "other_request"),
        ({"htu": "https://video.example:8443" + METHOD}, "other_request"),
        ({"htu": "https://[" + METHOD}, "other_request"),
        ({"ath": digest_of("another token")}, "other_token"),
        ({"ath": None}, "other_token"),
        ({"ath": 1}, "other_token"),
        ({"iat": int(NOW.timestamp()) - 61}, "stale"),
        ({"iat": int(NOW.timestamp()) + 61}, "stale"),
        ({"iat": 1e300}, "stale"),
        ({"iat": None}, "malformed"),
        ({"iat": "now"}, "malformed"),
        ({"iat": True}, "malformed"),
        ({"iat": float("nan")}, "malformed"),
        ({"iat": 10**400}, "malformed"),
        ({"jti": None}, "malformed"),
        ({"jti": ""}, "malformed"),
        ({"jti": "x" * 257}, "malformed"),
        ({"htm": None}, "malformed"),
        ({"htu": None}, "malformed"),
        ({"htu": 7}, "malformed"),
        ({"filler": "x" * 5000}, "malformed"),
    ],
)
def test_a_proof_that_says_something_else_is_refused(
    proofs: Proofs, holder: KeyHolder, changed: dict[str, Any], expected: str
) -> None:
    proof = holder.proof(NOW, "POST", EDGE + METHOD, TOKEN, **changed)
    assert problem(proofs, proof, token=TOKEN, bound_to=holder.thumbprint) == expected


@pytest.mark.parametrize(
    "url",
    [
        EDGE + METHOD + "?x=1#y",
        EDGE.upper().replace("HTTPS", "https") + METHOD,
        EDGE + ":443" + METHOD,
        EDGE + METHOD.replace("A", "%41"),
    ],
)
def test_other_spellings_of_the_same_address_are_the_same(proofs: Proofs, holder: KeyHolder, url: str) -> None:
    assert problem(proofs, holder.proof(NOW, "POST", url)) == ""


def test_by_rest_the_request_is_the_one_that_came_to_the_edge(proofs: Proofs, holder: KeyHolder) -> None:
    rest = "DELETE /v1/assets/ast_1"
    assert problem(proofs, holder.proof(NOW, "DELETE", f"{EDGE}/v1/assets/ast_1"), x_reelmesh_rest=rest) == ""
    assert problem(proofs, holder.proof(NOW, "POST", EDGE + METHOD), x_reelmesh_rest=rest) == "other_request"


@pytest.mark.parametrize(
    "header",
    [
        {"typ": "JWT"},
        {"typ": ""},
        {"jwk": "key"},
        {"jwk": {}},
        {"jwk": {"kty": "oct", "k": "c2VjcmV0"}},
        {"jwk": {"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"}},
        {"jwk": KeyHolder().key.as_dict(private=False)},
        {"jwk": KeyHolder("EdDSA").key.as_dict(private=False)},
    ],
)
def test_a_proof_whose_key_is_not_its_signers_is_refused(
    proofs: Proofs, holder: KeyHolder, header: dict[str, Any]
) -> None:
    assert problem(proofs, strange(holder, header)) == "malformed"


def test_a_proof_that_gives_its_private_key_away_is_refused(proofs: Proofs, holder: KeyHolder) -> None:
    header = {"jwk": holder.key.as_dict(private=True)}
    assert problem(proofs, strange(holder, header)) == "malformed"


def test_neither_no_signature_nor_a_symmetric_one_is_taken(proofs: Proofs, holder: KeyHolder) -> None:
    claims = {"jti": "1", "htm": "POST", "htu": EDGE + METHOD, "iat": int(NOW.timestamp())}
    public = holder.key.as_dict(private=False)
    header = {"typ": "dpop+jwt", "jwk": public}
    unsigned = jwt.encode(claims, "", algorithm="none", headers=header)
    assert problem(proofs, unsigned) == "malformed"
    confused = jwt.encode(claims, json.dumps(public["x"]), algorithm="HS256", headers=header)
    assert problem(proofs, confused) == "malformed"
    good = holder.proof(NOW, "POST", EDGE + METHOD)
    body, _, signature = good.rpartition(".")
    broken = bytearray(base64.urlsafe_b64decode(signature + "=="))
    broken[0] ^= 1
    assert problem(proofs, f"{body}.{base64.urlsafe_b64encode(broken).decode().rstrip('=')}") == "malformed"
    assert problem(proofs, strange(holder, {}, "\ud800")) == "malformed"
    deep = base64.urlsafe_b64encode(b"[" * 2500).decode().rstrip("=")
    for garbage in (f"{deep}.e30.AA", f"{good.split('.')[0]}.{deep}.AA", "a.b.c", "x", "….…", f"{good},{good}"):
        assert problem(proofs, garbage) == "malformed"


def test_a_bound_token_sent_as_a_bearers_is_refused_with_advice(proofs: Proofs, holder: KeyHolder) -> None:
    proof = holder.proof(NOW, "POST", EDGE + METHOD, TOKEN)
    with pytest.raises(Refusal, match="DPoP") as refused:
        proofs.require(holder.thumbprint, "bearer", TOKEN, {"dpop": proof}, METHOD)
    assert (refused.value.reason, refused.value.metadata["problem"]) == ("PROOF_INVALID", "missing")
    with pytest.raises(Refusal, match="PROOF_INVALID"):
        proofs.require(holder.thumbprint, "dpop", TOKEN, {}, METHOD)


def test_a_token_that_is_bound_to_no_key_needs_none(proofs: Proofs, holder: KeyHolder) -> None:
    proofs.require("", "bearer", TOKEN, {}, METHOD)
    with pytest.raises(Refusal, match="CREDENTIAL_INVALID"):
        proofs.require("", "dpop", TOKEN, {"dpop": holder.proof(NOW, "POST", EDGE + METHOD, TOKEN)}, METHOD)


def test_what_is_remembered_is_forgotten_when_it_is_too_old_to_be_sent_again(
    proofs: Proofs, clock: FixedClock, holder: KeyHolder
) -> None:
    for moment in range(3):
        proof = holder.proof(clock.now(), "POST", EDGE + METHOD)
        assert problem(proofs, proof) == "", moment
        clock.advance(timedelta(minutes=5))
    proofs._seen |= {
        bytes([number % 256, number // 256 % 256, number // 65536]): (0.0, "") for number in range(dpop._REMEMBERED)
    }
    assert problem(proofs, holder.proof(clock.now(), "POST", EDGE + METHOD)) == ""
    assert len(proofs._seen) == 1
