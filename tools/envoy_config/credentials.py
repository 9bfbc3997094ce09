"""How Envoy and the services know each other: both show certificates, and Envoy takes up renewed ones while it runs."""

from __future__ import annotations

import json
import os
from typing import Final

from services.kit.tls import CERTIFICATE_FILE, KEY_FILE, TRUST_FILE, host_name, spiffe_id
from tools.envoy_config.settings import EdgeSettings

_OWN: Final = "own-certificate"
_TRUST: Final = "authorities"
_TLS: Final = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3."


def write_certificate_source(settings: EdgeSettings) -> None:
    """Writes `EdgeSettings.certificate_source`, which Envoy is told to read: where its certificate lies, and that the folder is to be
    watched. It does so only for what stands in such a file (SDS), not for what stands in its configuration."""
    place = settings.tls.resolve()
    # A link of this folder is swapped when the three files are replaced.
    watched = {"path": str(place)}
    own = {
        "certificate_chain": {"filename": str(place / CERTIFICATE_FILE)},
        "private_key": {"filename": str(place / KEY_FILE)},
        "watched_directory": watched,
    }
    trust = {"trusted_ca": {"filename": str(place / TRUST_FILE)}, "watched_directory": watched}
    secrets = [
        {"@type": f"{_TLS}Secret", "name": _OWN, "tls_certificate": own},
        {"@type": f"{_TLS}Secret", "name": _TRUST, "validation_context": trust},
    ]
    file = settings.certificate_source
    fresh = file.with_name(f".{file.name}.{os.getpid()}")
    with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as writer:
        json.dump({"resources": secrets}, writer)
    fresh.rename(file)


def mutual_tls(settings: EdgeSettings, service: str) -> dict[str, object]:
    """The transport socket of a cluster whose servers are one service: nobody else's certificate will do."""
    source = {
        "path_config_source": {"path": str(settings.certificate_source.resolve())},
        "resource_api_version": "V3",
    }
    its_name = {"san_type": "URI", "matcher": {"exact": spiffe_id(settings.trust_domain, service)}}
    common = {
        "tls_params": {"tls_minimum_protocol_version": "TLSv1_3", "tls_maximum_protocol_version": "TLSv1_3"},
        "tls_certificate_sds_secret_configs": [{"name": _OWN, "sds_config": source}],
        "combined_validation_context": {
            "default_validation_context": {"match_typed_subject_alt_names": [its_name]},
            "validation_context_sds_secret_config": {"name": _TRUST, "sds_config": source},
        },
    }
    context = {
        "@type": f"{_TLS}UpstreamTlsContext",
        "sni": host_name(settings.trust_domain, service),
        "common_tls_context": common,
    }
    return {"name": "envoy.transport_sockets.tls", "typed_config": context}
