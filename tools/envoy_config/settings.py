"""What an edge needs to know about the install it stands in."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

REPOSITORY: Final = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, slots=True, kw_only=True)
class EdgeSettings:
    """Settings of one Envoy. An address is `unix:/path/of.sock` or `host:port`, as services take it too.

    Attributes:
        identity, upload, assets, transcode, packaging, drm, payments, policy, compliance, protection: addresses of the services (gRPC).
        authorizer: address at which `policy` is asked about requests (HTTP/1.1).
        licences: address at which `drm` answers players (HTTP/1.1).
        limits: address of the service that counts calls (gRPC).
        tus: address at which `upload` takes uploads by tus (HTTP/1.1).
        oauth: address of the OAuth gateway (HTTP/1.1).
        speke: address of the gateway for packagers of other makers (HTTP/1.1).
        webhooks: address of the gateway for webhooks of payment processors (HTTP/1.1).
        objects: root of the local object store; published packages lie in `published/` below it, the audit log in `audit/`.
        tls: folder of Envoy's own certificate, as `services.kit.tls` describes it; renewed ones are taken up at once.
        trust_domain: the install's name in the certificates of its services.
        certificate_sources: folder of files that lead Envoy to `tls`, as `write_certificate_sources` writes them. They hold no secret.
        admin: address of Envoy's admin interface. It can stop Envoy and read its configuration: a unix socket in a private
            directory is the right place.
        listen: address for people.
        web: folder of the built web app. A missing one gives 404 for its pages and hurts nothing else.
        openapi: folder of `reelmesh.openapi.json`.
        descriptors: descriptor set of the contracts.
        access_log: file for one JSON object a request.
        allowed_origins: other web origins, such as `https://studio.example`, whose pages may call the interface and upload.
            Playback needs no such permission: whoever holds a ticket may play anywhere.
        strict: sends every playback request to `policy`, licences by way of the DRM service, for those who want each one judged there. Otherwise segments whose ticket
            Envoy finds good pass without it.
        workers: worker threads, 1 or more.
        limits_file: what the install changes of `services/limits/limits.yaml`; of it, Envoy itself needs `methods.guessing` and `edge`.
        limits_patience: seconds for which a call waits to be counted; then it goes on uncounted.
        authorizer_patience: seconds for which a request waits for the word of `policy`; then it is refused.
        connect_patience: seconds within which a service takes a connection; then another is tried, or the request refused.
        trusted_hops: proxies of the install's own in front of Envoy, each of which adds whom it heard to `X-Forwarded-For`. With none, the
            client is who opened the connection, and what the header says is not believed.
        max_heap_bytes: Envoy stops taking requests at 95 % of this.
        max_connections: connections from outside at a time.
    """

    identity: str
    upload: str
    assets: str
    transcode: str
    packaging: str
    drm: str
    payments: str
    policy: str
    authorizer: str
    licences: str
    compliance: str
    protection: str
    limits: str
    tus: str
    oauth: str
    speke: str
    webhooks: str
    objects: Path
    tls: Path
    trust_domain: str
    certificate_sources: Path
    admin: str
    listen: str = "127.0.0.1:8080"
    web: Path = REPOSITORY / "web/dist"
    openapi: Path = REPOSITORY / "gen/openapi"
    descriptors: Path = REPOSITORY / "gen/envoy/reelmesh.binpb"
    access_log: str = "/dev/stdout"
    allowed_origins: tuple[str, ...] = ()
    strict: bool = False
    limits_file: Path | None = None
    limits_patience: float = 0.2
    authorizer_patience: float = 1.0
    connect_patience: float = 1.0
    trusted_hops: int = 0
    workers: int = field(default_factory=lambda: min(2, os.cpu_count() or 1))
    max_heap_bytes: int = 512 * 1024 * 1024
    max_connections: int = 4096

    def services(self) -> dict[str, str]:
        """Address of each gRPC service by its name."""
        return {
            "identity": self.identity,
            "upload": self.upload,
            "assets": self.assets,
            "transcode": self.transcode,
            "packaging": self.packaging,
            "drm": self.drm,
            "payments": self.payments,
            "policy": self.policy,
            "compliance": self.compliance,
            "protection": self.protection,
        }
