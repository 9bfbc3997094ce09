"""Tickets: what a playback URL carries to show that it may be used.

A ticket is a JSON Web Token (RFC 7519) signed with ES256, after RFC 8725: the algorithm is pinned, `kid` must name our key, `typ` says
what it is for, and every claim is required. It says which session and package it belongs to; whether the session still stands is
judged at each use.
"""

from __future__ import annotations

import base64
import hashlib
import json
import math
import re
import secrets
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

import jwt
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey, EllipticCurvePublicKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from jwt.algorithms import ECAlgorithm
from jwt.utils import base64url_decode

from services.policy import refusals
from services.policy.domain import Package, Session
from services.policy.watermarks import Watermarks

TICKET_KEY_FILE: Final = "ticket_key.pem"
ISSUER: Final = "policy.reelmesh"
CODEWORD: Final = "wm"
"""Claim with the codeword of a session that plays a watermarked package."""
_TYPE: Final = "playback+jwt"
_LONGEST: Final = 4096
_ALGORITHM: Final = "ES256"


_SHAPE: Final = re.compile(r"([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]{85}[AQgw])")
"""Three parts in base64url. The last character of a signature has four idle bits, which are zero (RFC 4648 §3.5): one ticket has one spelling."""
_ES256: Final = jwt.get_algorithm_by_name(_ALGORITHM)
_CLAIMS: Final = frozenset({"iss", "sub", "pkg", "org", "iat", "exp", "jti"})
"""What every ticket says. Time is judged at each use, by the process's own clock."""


@dataclass(frozen=True, slots=True)
class Ticket:
    """What a good ticket says.

    Attributes:
        expires: moment at which it ends, in seconds of Unix time.
    """

    session_id: str
    package_id: str
    organisation_id: str
    expires: float

    def valid_at(self, now: float) -> None:
        """Checks that its time is not over.

        Raises:
            Refusal: TICKET_EXPIRED.
        """
        if now >= self.expires:
            raise refusals.ticket_expired(datetime.fromtimestamp(self.expires, UTC))


def key_id_of(key: EllipticCurvePrivateKey) -> str:
    """Name of a signing key: the first 96 bits of its public key's thumbprint (RFC 7638)."""
    jwk = ECAlgorithm.to_jwk(key.public_key(), as_dict=True)
    members = json.dumps({name: jwk[name] for name in ("crv", "kty", "x", "y")}, separators=(",", ":"))
    return base64.urlsafe_b64encode(hashlib.sha256(members.encode()).digest()[:12]).decode()


@dataclass(frozen=True, slots=True)
class TicketKey:
    """A key that signs from a moment on, until the next one does."""

    key_id: str
    private: EllipticCurvePrivateKey
    sign_time: datetime


class Tickets:
    """Mints and reads tickets.

    Args:
        private_key_pem: EC P-256 private key, PEM.
        remembered: how many good tickets are remembered, so that only their first use costs a signature check.
        watermarks: tells the codewords that stand in tickets for watermarked packages.
    """

    def __init__(self, private_key_pem: bytes, remembered: int, watermarks: Watermarks | None = None) -> None:
        self.watermarks = watermarks or Watermarks(b"")
        key = load_pem_private_key(private_key_pem, password=None)
        if not isinstance(key, EllipticCurvePrivateKey) or not isinstance(key.curve, SECP256R1):
            raise ValueError(f"{TICKET_KEY_FILE} must hold an EC P-256 private key")  # noqa: TRY004  # what is wrong is the file
        self._first = TicketKey(key_id_of(key), key, datetime.min.replace(tzinfo=UTC))
        self._keys = [self._first]
        self._public = _by_header(self._keys)
        self._remembered = remembered
        self._read: OrderedDict[str, Ticket] = OrderedDict()

    def take(self, keys: Sequence[TicketKey], *, keep_first: bool) -> bool:
        """Goes by these keys, in the order in which they sign, and by the install's own file before them for as long as it is needed.
        Returns whether anything changed."""
        wanted = [*([self._first] if keep_first else []), *keys]
        if [key.key_id for key in wanted] == [key.key_id for key in self._keys]:
            return False
        self._keys = wanted
        self._public = _by_header(wanted)
        self._read.clear()
        return True

    def public_keys(self) -> str:
        """The keys by which tickets are checked, as a JSON Web Key Set (RFC 7517 §5)."""
        keys = [
            {
                **ECAlgorithm.to_jwk(key.private.public_key(), as_dict=True),
                "kid": key.key_id,
                "alg": _ALGORITHM,
                "use": "sig",
            }
            for key in self._keys
        ]
        return json.dumps({"keys": keys}, sort_keys=True)

    def mint(self, session: Session, now: datetime, package: Package | None = None) -> str:
        """A ticket that is good for as long as its session. If its package is watermarked it says which variants the session gets; whoever
        reads that learns no more than the files themselves tell."""
        claims = {
            "iss": ISSUER,
            "sub": session.session_id,
            "pkg": session.package_id,
            "org": session.organisation_id,
            "iat": int(now.timestamp()),
            # Whole seconds: Envoy hands on no other number without loss.
            "exp": int(session.expire_time.timestamp()),
            "jti": secrets.token_urlsafe(9),
        }
        if package is not None and package.watermark_segments:
            claims[CODEWORD] = self.watermarks.codeword(
                session.asset_id,
                session.session_id,
                colluders=package.watermark_colluders,
                segments=package.watermark_segments,
            )
        key = max((key for key in self._keys if key.sign_time <= now), key=lambda key: key.sign_time)
        return _minted(claims, key)

    def read(self, token: str) -> Ticket:
        """What a ticket says, once its signature is found good. Whether its time is over is not looked at here.

        Raises:
            Refusal: TICKET_INVALID.
        """
        known = self._read.get(token)
        if known is not None:
            self._read.move_to_end(token)
            return known
        ticket = self._checked(token)
        self._read[token] = ticket
        if len(self._read) > self._remembered:
            self._read.popitem(last=False)
        return ticket

    def _checked(self, token: str) -> Ticket:
        # Tickets are all minted here, so there is one header for each key. To compare it costs a tenth of what reading it does, and leaves
        # nothing in it to argue about (RFC 8725 §3.1, §3.11).
        parts = _SHAPE.fullmatch(token) if len(token) <= _LONGEST else None
        public = self._public.get(parts[1]) if parts else None
        if parts is None or public is None:
            raise refusals.ticket_invalid()
        header, payload, signature = parts.groups()
        try:
            good = _ES256.verify(f"{header}.{payload}".encode(), public, base64url_decode(signature))
            claims = json.loads(base64url_decode(payload)) if good else None
        except (ValueError, RecursionError) as error:  # JSON nested a thousand deep
            raise refusals.ticket_invalid() from error
        if not isinstance(claims, dict) or not claims.keys() >= _CLAIMS or claims["iss"] != ISSUER:
            raise refusals.ticket_invalid()
        texts = (claims["sub"], claims["pkg"], claims["org"], claims["jti"])
        if not all(isinstance(text, str) for text in texts) or not all(
            _is_moment(claims[name]) for name in ("iat", "exp")
        ):
            raise refusals.ticket_invalid()
        return Ticket(
            session_id=claims["sub"],
            package_id=claims["pkg"],
            organisation_id=claims["org"],
            expires=float(claims["exp"]),
        )


def _by_header(keys: Sequence[TicketKey]) -> dict[str, EllipticCurvePublicKey]:
    """Public keys by the header that tickets have which they check, as it is encoded."""
    return {_minted({}, key).partition(".")[0]: key.private.public_key() for key in keys}


def _minted(claims: Mapping[str, object], key: TicketKey) -> str:
    headers = {"kid": key.key_id, "typ": _TYPE}
    return jwt.encode(dict(claims), key.private, algorithm=_ALGORITHM, headers=headers)


def _is_moment(value: object) -> bool:
    """Whether a claim is a NumericDate (RFC 7519 §2)."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
