"""A client that holds a key and proves it, by a library that is not ours."""

from __future__ import annotations

import base64
import hashlib
from datetime import datetime
from typing import Any

import jwt as pyjwt
from joserfc import jwt
from joserfc.jwk import ECKey, OKPKey

from services.kit.ids import new_id


class KeyHolder:
    """Somebody with a key pair.

    Args:
        algorithm: `ES256` or `EdDSA`.
    """

    def __init__(self, algorithm: str = "ES256") -> None:
        self._algorithm = algorithm
        self.key = ECKey.generate_key("P-256") if algorithm == "ES256" else OKPKey.generate_key("Ed25519")

    @property
    def thumbprint(self) -> str:
        """Of the public key (RFC 7638)."""
        return self.key.thumbprint()

    @property
    def pem(self) -> bytes:
        """The private key."""
        return self.key.as_pem(private=True)

    def proof(
        self,
        now: datetime,
        method: str,
        url: str,
        token: str = "",
        **changed: Any,
    ) -> str:
        """A proof for one call; `changed` is what is not as it should be, None for what is left out."""
        claims: dict[str, Any] = {"jti": new_id("jti"), "htm": method, "htu": url, "iat": int(now.timestamp())}
        if token:
            claims["ath"] = digest_of(token)
        whole = {name: value for name, value in {**claims, **changed}.items() if value is not None}
        public = {"typ": "dpop+jwt", "alg": self._algorithm, "jwk": self.key.as_dict(private=False)}
        if self._algorithm == "EdDSA":  # whose name joserfc deprecates (RFC 9864), and clients use
            return pyjwt.encode(whole, self.pem, algorithm="EdDSA", headers=public)
        return jwt.encode(public, whole, self.key, algorithms=[self._algorithm])


def digest_of(token: str) -> str:
    """`ath` of a token."""
    return base64.urlsafe_b64encode(hashlib.sha256(token.encode()).digest()).decode().rstrip("=")
