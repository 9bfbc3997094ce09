"""How Envoy shows `policy` who it is: a service token in a file of its own, read again whenever it is replaced."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Final

_NAME: Final = "service-token"
_EXTENSIONS: Final = "type.googleapis.com/envoy.extensions."


def write_service_token(file: Path, token: str) -> None:
    """Puts a token in place for Envoy, before its start or while it runs; it takes a new one up at once.

    Args:
        file: `EdgeSettings.service_token_file`. Only its owner may read it.
        token: the token alone, without `Bearer`.
    """
    secret = {
        "@type": _EXTENSIONS + "transport_sockets.tls.v3.Secret",
        "name": _NAME,
        "generic_secret": {"secret": {"inline_string": f"Bearer {token}"}},
    }
    fresh = file.with_name(f".{file.name}.{os.getpid()}")
    with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as writer:
        json.dump({"resources": [secret]}, writer)
    # Envoy watches for a file that is moved into this place.
    fresh.rename(file)


def credential(file: Path) -> list[dict[str, object]]:
    """Filters of a cluster that add the token to each call."""
    place = file.resolve()
    return [
        {
            "name": "envoy.filters.http.credential_injector",
            "typed_config": {
                "@type": _EXTENSIONS + "filters.http.credential_injector.v3.CredentialInjector",
                "overwrite": True,
                "credential": {
                    "name": "envoy.http.injected_credentials.generic",
                    "typed_config": {
                        "@type": _EXTENSIONS + "http.injected_credentials.generic.v3.Generic",
                        "credential": {"name": _NAME, "sds_config": {"path_config_source": {"path": str(place)}}},
                        "header": "authorization",
                    },
                },
            },
        },
        {
            "name": "envoy.filters.http.upstream_codec",
            "typed_config": {"@type": _EXTENSIONS + "filters.http.upstream_codec.v3.UpstreamCodec"},
        },
    ]
