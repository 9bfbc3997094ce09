"""What the operator's PlayReady licence server is told with a challenge: which keys it may license, and on what terms.

A nested JSON Web Token (RFC 7519 §5.2): claims signed by ES256 with our key, encrypted by `dir` and A128CBC-HS256 under a secret that both
know, because it holds keys. It is good for a minute, for one server, and for one challenge, whose SHA-256 it names.
"""

from __future__ import annotations

import base64
import hashlib
import json
import uuid
from datetime import datetime, timedelta
from typing import Any, Final

from joserfc import jwe, jws
from joserfc.jwk import ECKey, OctKey

from services.drm.domain import ContentKey, kid_of
from services.drm.licences.granting import Grant
from services.drm.playready import restrictions
from services.drm.playready.challenge import Challenge
from services.kit.ids import new_id

HEADER: Final = "x-reelmesh-licence-statement"
LEVEL_HEADER: Final = "x-reelmesh-security-level"
ISSUER: Final = "reelmesh"
GOOD_FOR: Final = timedelta(seconds=60)
SECRET_BYTES: Final = 32
Claims = dict[str, Any]


class Stater:
    """Makes statements.

    Args:
        signing_key: EC private key on P-256, PEM.
        secret: 32 bytes, known to the licence server too.
        audience: URL of the licence server.
    """

    def __init__(self, signing_key: bytes, secret: bytes, audience: str) -> None:
        if len(secret) != SECRET_BYTES:
            raise ValueError(f"the secret shared with the PlayReady licence server has {SECRET_BYTES} bytes")
        self._key = ECKey.import_key(signing_key)
        if self._key.curve_name != "P-256" or not self._key.is_private:
            raise ValueError("statements for the PlayReady licence server are signed by a private key on P-256")
        self._secret = OctKey.import_key(secret)
        self._audience = audience

    def inspecting(self, challenge: Challenge, now: datetime) -> str:
        """Asks what the player is, and for no licence."""
        return self._nested({**self._common(challenge, now, new_id("req")), "inspect": True})

    def licensing(self, challenge: Challenge, grant: Grant, now: datetime) -> str:
        """Orders a licence for the keys of a grant."""
        return self._nested({**self._common(challenge, now, grant.licence_id), **ordered(grant)})

    def _common(self, challenge: Challenge, now: datetime, identity: str) -> Claims:
        digest = hashlib.sha256(challenge.document).digest()
        return {
            "iss": ISSUER,
            "aud": self._audience,
            "jti": identity,
            "iat": int(now.timestamp()),
            "exp": int((now + GOOD_FOR).timestamp()),
            "challenge_sha256": base64.urlsafe_b64encode(digest).rstrip(b"=").decode(),
        }

    def _nested(self, claims: Claims) -> str:
        signed = jws.serialize_compact(
            {"alg": "ES256", "typ": "JWT"}, json.dumps(claims, separators=(",", ":")), self._key
        )
        return jwe.encrypt_compact({"alg": "dir", "enc": "A128CBC-HS256", "cty": "JWT"}, signed, self._secret)


def ordered(grant: Grant) -> Claims:
    """The claims that say what to license. Restrictions stand once for each label, since many keys may share one."""
    licence: Claims = {
        "persistent": grant.offline,
        "begin_time": int(grant.issue_time.timestamp()),
        "end_time": int(grant.expire_time.timestamp()),
        # Without it a client that plays on past the end is stopped only at its next start.
        "real_time_expiration": True,
    }
    if grant.policy.playback_duration is not None:
        licence["expiration_after_first_play"] = max(1, int(grant.policy.playback_duration.total_seconds()))
    labels = {key.label for key in grant.keys}
    return {
        "session_id": grant.session_id,
        "package_id": grant.package_id,
        "licence": licence,
        "restrictions": {label: restrictions.of(grant.policy.rule(label)) for label in sorted(labels)},
        "keys": [_key(key) for key in grant.keys],
    }


def _key(key: ContentKey) -> Claims:
    return {"key_id": str(uuid.UUID(bytes=key.key_id)), "key": kid_of(key.key), "label": key.label}
