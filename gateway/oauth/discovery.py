"""What clients can find out by themselves: metadata (RFC 8414, OpenID Connect Discovery) and keys (RFC 7517)."""

from __future__ import annotations

from typing import Final

from reelmesh.identity.v1 import oauth_service_pb2 as api

from gateway.oauth.provider import AUTH_METHODS, GRANTS, SECRET_METHODS

KEPT_SECONDS: Final = 300
"""How long the documents may be kept. A new key is published an hour before it signs."""


def metadata(told: api.GetProviderResponse) -> dict[str, object]:
    """What this provider can do."""
    issuer = told.issuer
    return {
        "issuer": issuer,
        "authorization_endpoint": f"{issuer}/oauth/authorize",
        "token_endpoint": f"{issuer}/oauth/token",
        "device_authorization_endpoint": f"{issuer}/oauth/device_authorization",
        "revocation_endpoint": f"{issuer}/oauth/revoke",
        "introspection_endpoint": f"{issuer}/oauth/introspect",
        "userinfo_endpoint": f"{issuer}/oauth/userinfo",
        "end_session_endpoint": f"{issuer}/oauth/logout",
        "jwks_uri": f"{issuer}/.well-known/jwks.json",
        "scopes_supported": list(told.scopes),
        "response_types_supported": ["code"],
        "response_modes_supported": ["query"],
        "grant_types_supported": list(GRANTS),
        "token_endpoint_auth_methods_supported": AUTH_METHODS,
        "revocation_endpoint_auth_methods_supported": AUTH_METHODS,
        "introspection_endpoint_auth_methods_supported": SECRET_METHODS,
        "code_challenge_methods_supported": ["S256"],
        "authorization_response_iss_parameter_supported": True,
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["ES256"],
        "prompt_values_supported": ["none", "login", "consent", "select_account"],
        "claims_supported": [
            "sub",
            "iss",
            "aud",
            "exp",
            "iat",
            "auth_time",
            "sid",
            "nonce",
            "at_hash",
            "name",
            "locale",
            "email",
            "email_verified",
        ],
        "claims_parameter_supported": False,
        "request_parameter_supported": False,
        "request_uri_parameter_supported": False,
    }


def key_set(told: api.GetProviderResponse) -> dict[str, object]:
    """All keys that tokens may be signed with now or soon."""
    return {
        "keys": [
            {"kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": key.kid, "x": key.x, "y": key.y}
            for key in told.keys
        ]
    }
