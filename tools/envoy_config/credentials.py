"""How Envoy and the services know each other: both show certificates, and Envoy takes up renewed ones while it runs."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Final

from services.kit.tls import CERTIFICATE_FILE, KEY_FILE, TRUST_FILE, host_name, spiffe_id
from tools.envoy_config.settings import EdgeSettings

_OWN: Final = "own-certificate"
_TRUST: Final = "authorities"
_TLS: Final = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3."


def write_certificate_sources(settings: EdgeSettings) -> None:
    """Writes the files of `EdgeSettings.certificate_sources`, which Envoy is told to read: where its certificate lies, and that the
    folder is to be watched. It does so only for what stands in such files (SDS), one each, not for what stands in its configuration."""
    place = settings.tls.resolve()
    # A link of this folder is swapped when the three files are replaced.
    watched = {"path": str(place)}
    own = {
        "certificate_chain": {"filename": str(place / CERTIFICATE_FILE)},
        "private_key": {"filename": str(place / KEY_FILE)},
        "watched_directory": watched,
    }
    trust = {"trusted_ca": {"filename": str(place / TRUST_FILE)}, "watched_directory": watched}
    settings.certificate_sources.mkdir(mode=0o700, exist_ok=True)
    for name, content in ((_OWN, {"tls_certificate": own}), (_TRUST, {"validation_context": trust})):
        secret = {"@type": f"{_TLS}Secret", "name": name, **content}
        file = _source(settings, name)
        fresh = file.with_name(f".{file.name}.{os.getpid()}")
        fresh.write_text(json.dumps({"resources": [secret]}), encoding="utf-8")
        fresh.rename(file)


def _source(settings: EdgeSettings, name: str) -> Path:
    return settings.certificate_sources.resolve() / f"{name}.json"


def mutual_tls(settings: EdgeSettings, service: str, protocol: str) -> dict[str, object]:
    """The transport socket of a cluster whose servers are one service: nobody else's certificate will do.

    Args:
        settings: of the edge.
        service: the name that the certificate has to carry.
        protocol: what is spoken inside, `h2` or `http/1.1` (RFC 7301); gRPC's servers hang up on whoever does not say it.
    """

    def secret(name: str) -> dict[str, object]:
        source = {"path_config_source": {"path": str(_source(settings, name))}, "resource_api_version": "V3"}
        return {"name": name, "sds_config": source}

    its_name = {"san_type": "URI", "matcher": {"exact": spiffe_id(settings.trust_domain, service)}}
    common = {
        "alpn_protocols": [protocol],
        "tls_params": {"tls_minimum_protocol_version": "TLSv1_3", "tls_maximum_protocol_version": "TLSv1_3"},
        "tls_certificate_sds_secret_configs": [secret(_OWN)],
        "combined_validation_context": {
            "default_validation_context": {"match_typed_subject_alt_names": [its_name]},
            "validation_context_sds_secret_config": secret(_TRUST),
        },
    }
    context = {
        "@type": f"{_TLS}UpstreamTlsContext",
        "sni": host_name(settings.trust_domain, service),
        "common_tls_context": common,
    }
    return {"name": "envoy.transport_sockets.tls", "typed_config": context}
