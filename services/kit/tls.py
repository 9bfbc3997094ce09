"""Certificates: how a service shows who it is, and knows who is on the other side.

Each service has a folder with `tls.crt`, `tls.key` and `ca.crt`, named as in a Kubernetes TLS secret. Its certificate carries its name
as a SPIFFE ID, `spiffe://<trust domain>/service/<name>` (SPIFFE-ID §2, X509-SVID §2), and as a host name, `<name>.<trust domain>`, by
which gRPC's clients know whom they reached. Folders are looked at again while the process runs: a renewed certificate, or
another authority in `ca.crt`, is taken up by the next connection.
"""

from __future__ import annotations

import os
import re
import ssl
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Final

import grpc
import structlog
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key

CERTIFICATE_FILE: Final = "tls.crt"
KEY_FILE: Final = "tls.key"
TRUST_FILE: Final = "ca.crt"

_FILES: Final = (CERTIFICATE_FILE, KEY_FILE, TRUST_FILE)
_SPIFFE_ID: Final = re.compile(r"spiffe://(?P<domain>[a-z0-9._-]{1,255})/service/(?P<service>[a-z0-9-]{1,63})")
_LOOK_SECONDS: Final = 1.0

log = structlog.stdlib.get_logger()


class UnusableCertificate(Exception):
    """A folder holds no certificate that a service could show; the message says what is wrong."""


def spiffe_id(trust_domain: str, service: str) -> str:
    """The name of a service, as its certificate carries it."""
    return f"spiffe://{trust_domain}/service/{service}"


def host_name(trust_domain: str, service: str) -> str:
    """The same name in the form of a host name."""
    return f"{service}.{trust_domain}"


def service_of(identifier: str, trust_domain: str) -> str | None:
    """The service that a SPIFFE ID names; None when it is of another trust domain, or no service's at all."""
    found = _SPIFFE_ID.fullmatch(identifier)
    return found["service"] if found is not None and found["domain"] == trust_domain else None


@dataclass(frozen=True, slots=True)
class Identity:
    """What a service shows, and whom it trusts. PEM.

    Attributes:
        service, trust_domain: who it is, from the certificate.
        expires: when its certificate ends.
        certificate: its certificate, and those between it and the authority.
        trust: certificates of the authorities that it believes.
    """

    service: str
    trust_domain: str
    expires: datetime
    certificate: bytes
    key: bytes = field(repr=False)
    trust: bytes


def read_identity(folder: Path) -> Identity:
    """Reads a folder whose files belong together.

    Raises:
        UnusableCertificate: a file is missing or cannot be read, or they do not belong together.
    """
    try:
        try:
            certificate, key, trust = _read_together(folder)
        except FileNotFoundError:  # they were replaced in between, and those of before are gone
            certificate, key, trust = _read_together(folder)
        leaf = x509.load_pem_x509_certificate(certificate)
        if leaf.public_key() != load_pem_private_key(key, password=None).public_key():
            raise UnusableCertificate(f"{folder}: {KEY_FILE} is not the key of {CERTIFICATE_FILE}")
        if not x509.load_pem_x509_certificates(trust):
            raise UnusableCertificate(f"{folder}: {TRUST_FILE} holds no certificate")
        names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (OSError, ValueError, x509.ExtensionNotFound) as error:
        raise UnusableCertificate(f"{folder}: {error}") from error
    found = [_SPIFFE_ID.fullmatch(name) for name in names.get_values_for_type(x509.UniformResourceIdentifier)]
    if len(found) != 1 or found[0] is None:
        raise UnusableCertificate(f"{folder}: {CERTIFICATE_FILE} names no service by spiffe://<domain>/service/<name>")
    return Identity(
        found[0]["service"], found[0]["domain"], leaf.not_valid_after_utc, certificate=certificate, key=key, trust=trust
    )


def _read_together(folder: Path) -> Sequence[bytes]:
    """The three files. Whoever replaces them at once swaps a link to their folder: they are read from where the first one really is."""
    place = (folder / CERTIFICATE_FILE).resolve(strict=True).parent
    return [(place / name).read_bytes() for name in _FILES]


class Certificates:
    """One service's folder, looked at again while the process runs. May be used by several threads."""

    def __init__(self, folder: Path, *, look_seconds: float = _LOOK_SECONDS) -> None:
        """Reads the folder.

        Args:
            folder: has `tls.crt`, `tls.key` and `ca.crt`.
            look_seconds: how long what was read is taken for current.

        Raises:
            UnusableCertificate: no service could be run with it.
        """
        self._folder = folder
        self._look_seconds = look_seconds
        self._lock = threading.Lock()
        self._version = self._found()
        self._looked = time.monotonic()
        self._identity = read_identity(folder)

    def current(self) -> Identity:
        """The identity now. While the folder holds nothing good, the last good one: it may be in the middle of a change."""
        if time.monotonic() - self._looked >= self._look_seconds:
            with self._lock:
                self._look()
        return self._identity

    def _look(self) -> None:
        self._looked = time.monotonic()
        try:
            version = self._found()
            if version == self._version:
                return
            self._identity = read_identity(self._folder)
        except UnusableCertificate as error:
            log.error("the renewed certificate cannot be used", error=str(error))  # noqa: TRY400  # the message says all
        else:
            self._version = version
            log.info("the certificate was renewed", expires=self._identity.expires.isoformat())

    def _found(self) -> tuple[tuple[int, int], ...]:
        try:
            stats = [(self._folder / name).stat() for name in _FILES]
        except OSError as error:
            raise UnusableCertificate(f"{self._folder}: {error}") from error
        return tuple((one.st_ino, one.st_mtime_ns) for one in stats)


def server_credentials(certificates: Certificates) -> grpc.ServerCredentials:
    """What a gRPC server listens with: it shows the current certificate, and wants one that it trusts of everybody."""
    shown = certificates.current()

    def renewed() -> grpc.ServerCertificateConfiguration | None:
        """Asked at each handshake, on a thread of gRPC's own; None is for no change."""
        nonlocal shown
        current = certificates.current()
        if current is shown:
            return None
        shown = current
        return _configuration(current)

    credentials: grpc.ServerCredentials = grpc.dynamic_ssl_server_credentials(
        _configuration(shown),
        renewed,  # type: ignore[arg-type]  # its stubs do not know that None stands for no change
        require_client_authentication=True,
    )
    return credentials


def _configuration(identity: Identity) -> grpc.ServerCertificateConfiguration:
    return grpc.ssl_server_certificate_configuration(
        [(identity.key, identity.certificate)], root_certificates=identity.trust
    )


def channel_credentials(identity: Identity) -> grpc.ChannelCredentials:
    """What a gRPC client shows. Whom it reached it checks by `grpc.ssl_target_name_override`; see `services.kit.client`."""
    credentials: grpc.ChannelCredentials = grpc.ssl_channel_credentials(
        root_certificates=identity.trust, private_key=identity.key, certificate_chain=identity.certificate
    )
    return credentials


def server_context(certificates: Certificates) -> ssl.SSLContext:
    """The same for servers that are not gRPC's: a context that takes up renewed certificates with each handshake."""
    made: tuple[Identity, ssl.SSLContext] | None = None

    def current() -> ssl.SSLContext:
        nonlocal made
        identity = certificates.current()
        if made is None or made[0] is not identity:
            made = identity, _context(identity, ssl.PROTOCOL_TLS_SERVER)
        return made[1]

    def renewed(connection: ssl.SSLObject, _name: str | None, _context: ssl.SSLContext) -> None:
        connection.context = current()

    listening = _context(certificates.current(), ssl.PROTOCOL_TLS_SERVER)
    # OpenSSL asks this of every client, whether it names a server or not. A context cannot forget an authority; another one never
    # knew it.
    listening.sni_callback = renewed
    return listening


def client_context(identity: Identity) -> ssl.SSLContext:
    """For clients that are not gRPC's. They have to say by `server_hostname` whom they mean; see `host_name`."""
    return _context(identity, ssl.PROTOCOL_TLS_CLIENT)


def _context(identity: Identity, protocol: int) -> ssl.SSLContext:
    context = ssl.SSLContext(protocol)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.verify_mode = ssl.CERT_REQUIRED
    # OpenSSL would have AES-256; those who connect have AES-128-GCM first where the processor helps with it.
    context.options &= ~ssl.OP_CIPHER_SERVER_PREFERENCE
    context.load_verify_locations(cadata=identity.trust.decode())
    _in_a_file(identity.certificate + b"\n" + identity.key, context.load_cert_chain)
    return context


def _in_a_file(content: bytes, use: Callable[[str], None]) -> None:
    """Hands content to something that takes the name of a file only; it lies in memory, and nobody else's folder is trusted."""
    descriptor = os.memfd_create("identity", os.MFD_CLOEXEC)
    try:
        os.write(descriptor, content)
        use(f"/proc/self/fd/{descriptor}")
    finally:
        os.close(descriptor)
