"""Proof of possession (DPoP, RFC 9449): a token that is bound to a key is of no use to who does not hold the key.

The caller signs, for each call, a small JWT that names the call: `htm` and `htu`, the method and address as the caller sees them, `iat`,
`jti`, and `ath`, the digest of the token. By gRPC and grpc-web that is `POST` and the public address with the method's path; by REST it is
the request as it came to the edge, which tells it in `x-reelmesh-rest` (and takes that header away from everybody outside).
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import math
import re
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlsplit

import grpc
import jwt

from services.kit.clock import Clock
from services.kit.errors import RPC_DOMAIN, Refusal

HEADER: Final = "dpop"
REST_HEADER: Final = "x-reelmesh-rest"
REQUEST_HEADER: Final = "x-request-id"
TYPE: Final = "dpop+jwt"
ALGORITHMS: Final = ("ES256", "EdDSA")
WINDOW: Final = 60.0
"""Seconds that a proof may be old, and by which the caller's clock may be ahead (RFC 9449 §11.1)."""
_LONGEST_PROOF: Final = 4096
_LONGEST_JTI: Final = 256
_REMEMBERED: Final = 131_072
_THUMBPRINT_MEMBERS: Final = {"EC": ("crv", "kty", "x", "y"), "OKP": ("crv", "kty", "x")}
_CURVES: Final = {"ES256": "P-256", "EdDSA": "Ed25519"}
_PRIVATE_MEMBERS: Final = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})
_PORTS: Final = {"http": 80, "https": 443}
_ESCAPED: Final = re.compile(r"%([0-9A-Fa-f]{2})")
_UNRESERVED: Final = re.compile(r"[A-Za-z0-9._~-]")


def thumbprint(jwk: Mapping[str, Any]) -> str:
    """Thumbprint of a public key (RFC 7638, SHA-256, base64url; RFC 8037 §2 for OKP).

    Raises:
        ValueError: a member is missing, or the kind of key is not known here.
    """
    members = _THUMBPRINT_MEMBERS.get(str(jwk.get("kty")), ())
    if not members or not all(isinstance(jwk.get(name), str) for name in members):
        raise ValueError("the key cannot be named")
    canonical = json.dumps({name: jwk[name] for name in members}, separators=(",", ":"), sort_keys=True)
    return _base64url(hashlib.sha256(canonical.encode()).digest())


class Proofs:
    """Checks proofs, and remembers them for as long as they could be sent again. Each process remembers its own: a proof names one
    method, which one service serves.

    Args:
        clock: tells how old a proof is.
        public_url: where people reach the edge; `htu` must begin with it.
    """

    def __init__(self, clock: Clock, public_url: str) -> None:
        self._clock = clock
        self._public_url = public_url.rstrip("/")
        self._seen: dict[bytes, tuple[float, str]] = {}

    def require(self, bound_to: str, scheme: str, token: str, metadata: Mapping[str, str], method: str) -> None:
        """Lets a call with an access token pass.

        Args:
            bound_to: thumbprint of the key that the token is bound to; empty when to none.
            scheme: of the `authorization` metadata, in lower case.
            token: the access token.
            metadata: of the call.
            method: full method path of the call.

        Raises:
            Refusal: UNAUTHENTICATED `PROOF_INVALID`, or `CREDENTIAL_INVALID` for a token that is bound to no key and sent as one that is.
        """
        if not bound_to:
            if scheme == "dpop":
                message = "the access token is bound to no key; send it as `authorization: Bearer …`"
                raise Refusal(grpc.StatusCode.UNAUTHENTICATED, "CREDENTIAL_INVALID", message, domain=RPC_DOMAIN)
            return
        if scheme != "dpop":
            message = "the access token is bound to a key; send it as `authorization: DPoP …` with a proof in `dpop`"
            raise _refused("missing", message)
        if not hmac.compare_digest(self.proven(metadata, method, token), bound_to):
            raise proof_by_other_key()

    def proven(self, metadata: Mapping[str, str], method: str, token: str = "") -> str:
        """Thumbprint of the key whose possession the call proves.

        Args:
            metadata: of the call.
            method: full method path of the call.
            token: access token that the proof must name; empty where the call shows none.

        Raises:
            Refusal: UNAUTHENTICATED `PROOF_INVALID`.
        """
        proof = metadata.get(HEADER, "")
        if not proof:
            raise _refused("missing", "send a proof of the key in the metadata `dpop` (RFC 9449)")
        jwk, claims = _opened(proof)
        self._check_target(claims, metadata, method)
        if token and claims.get("ath") != _base64url(hashlib.sha256(token.encode()).digest()):
            raise _refused("other_token", "the proof is for another access token; `ath` must be its SHA-256")
        now = self._clock.now().timestamp()
        issued = float(claims["iat"])
        if abs(now - issued) > WINDOW:
            message = "the proof is too old or from the future; make one for each call, and check the clock"
            raise _refused("stale", message)
        key = thumbprint(jwk)
        self._remember(key, str(claims["jti"]), issued + WINDOW, now, metadata.get(REQUEST_HEADER, ""))
        return key

    def _check_target(self, claims: Mapping[str, Any], metadata: Mapping[str, str], method: str) -> None:
        htm, _, path = metadata.get(REST_HEADER, f"POST {method}").partition(" ")
        if claims["htm"] != htm or _normal(str(claims["htu"])) != _normal(self._public_url + path):
            message = f"the proof is for another call; `htm` must be {htm} and `htu` {self._public_url}{path}"
            raise _refused("other_request", message)

    def _remember(self, key: str, jti: str, until: float, now: float, request: str) -> None:
        """Notes a proof. The edge sends a request again, under the id that it gave it, when a service went away under it: that is no
        replay."""
        name = hashlib.sha256(f"{key}\0{jti}".encode()).digest()
        seen = self._seen.get(name)
        if seen is not None and now <= seen[0] and not (request and request == seen[1]):
            raise _refused("replayed", "the proof was used before; make one for each call, with a `jti` of its own")
        if len(self._seen) >= _REMEMBERED:
            self._seen = {one: known for one, known in self._seen.items() if now <= known[0]}
            if len(self._seen) >= _REMEMBERED:  # rather nobody than somebody twice
                message = "too many calls with proofs; try again in a minute"
                raise Refusal(grpc.StatusCode.RESOURCE_EXHAUSTED, "OVERLOADED", message, domain=RPC_DOMAIN)
        self._seen[name] = (until, request)


def proof_by_other_key() -> Refusal:
    """A good proof, of another key than the one that is asked for."""
    return _refused("other_key", "the proof is not by the key that the token is bound to")


def _opened(proof: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Key and claims of a proof whose signature is good (RFC 9449 §4.3, steps 2 to 7)."""
    malformed = _refused(
        "malformed", "the proof is not a signed JWT of type `dpop+jwt` with `jti`, `htm`, `htu`, `iat`"
    )
    if len(proof) > _LONGEST_PROOF:
        raise malformed
    try:
        header = jwt.get_unverified_header(proof)
        algorithm, jwk = header.get("alg"), header.get("jwk")
        if header.get("typ") != TYPE or algorithm not in ALGORITHMS or not isinstance(jwk, dict):
            raise malformed
        if jwk.get("crv") != _CURVES[algorithm] or _PRIVATE_MEMBERS & set(jwk):
            raise malformed
        key = jwt.PyJWK({name: jwk[name] for name in _THUMBPRINT_MEMBERS[jwk["kty"]]}, algorithm=algorithm)
        claims: dict[str, Any] = jwt.decode(
            proof,
            key,
            algorithms=[algorithm],
            options={
                "require": ["jti", "htm", "htu", "iat"],
                "verify_iat": False,
                "verify_exp": False,
                "verify_nbf": False,
                "verify_aud": False,
            },
        )
        texts = [claims[name] for name in ("jti", "htm", "htu")]
        if not all(isinstance(text, str) and text for text in texts) or len(texts[0]) > _LONGEST_JTI:
            raise malformed
        if isinstance(claims["iat"], bool) or not math.isfinite(claims["iat"]):
            raise malformed
        texts[0].encode()  # JSON can hold half a character
    except (jwt.PyJWTError, ValueError, TypeError, KeyError, OverflowError, RecursionError):
        raise malformed from None
    return jwk, claims


def _normal(url: str) -> str:
    """A URL without query and fragment, in the form in which two of the same address are equal (RFC 3986 §6.2.2 and §6.2.3)."""
    try:
        parts = urlsplit(url)
        port = parts.port or _PORTS.get(parts.scheme)
        host = (parts.hostname or "").lower()
    except ValueError:
        return ""
    path = _ESCAPED.sub(_unescaped, parts.path) or "/"
    return f"{parts.scheme}://{host}:{port}{path}"


def _unescaped(escaped: re.Match[str]) -> str:
    character = chr(int(escaped[1], 16))
    return character if _UNRESERVED.fullmatch(character) else escaped[0].upper()


def _base64url(digest: bytes) -> str:
    return base64.urlsafe_b64encode(digest).decode().rstrip("=")


def _refused(problem: str, message: str) -> Refusal:
    return Refusal(
        grpc.StatusCode.UNAUTHENTICATED, "PROOF_INVALID", message, domain=RPC_DOMAIN, metadata={"problem": problem}
    )
