"""The certificates of one install: its own authority, and one certificate for each service, renewed long before it ends.

    <secrets>/authority/trust_domain       the install's name in certificates, random
    <secrets>/authority/<time>.pem         an authority's key and certificate; more than one only while one takes over from another
    <secrets>/tls/<service>/tls.crt        links into a folder that is replaced as a whole, as Kubernetes does it:
    <secrets>/tls/<service>/tls.key        readers never see a key beside another key's certificate
    <secrets>/tls/<service>/ca.crt         every authority that is believed

A new authority takes over in three steps, with `OVERLAP` between them: everybody believes it; everybody's certificate comes from it;
nobody believes the old one. Where it stands is seen from the certificates themselves, so that it goes on after any interruption.
"""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from services.kit.tls import (
    CERTIFICATE_FILE,
    KEY_FILE,
    TRUST_FILE,
    UnusableCertificate,
    host_name,
    read_identity,
    spiffe_id,
)

LIFETIME: Final = timedelta(hours=24)
"""Of a service's certificate; it is renewed when half of it is over."""
AUTHORITY_LIFETIME: Final = timedelta(days=365)
AUTHORITY_RENEWAL: Final = timedelta(days=30)
"""Before an authority's end, the next one is made."""
OVERLAP: Final = timedelta(minutes=10)
"""Between two steps of a new authority. Processes look at their folders each second."""

# Clocks step back; a certificate made just now must not be one of the future then.
_BACKDATED: Final = timedelta(hours=1)
_DATA: Final = "..data"


@dataclass(frozen=True, slots=True)
class _Authority:
    """Somebody who signs certificates."""

    file: Path
    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(Encoding.PEM)


@dataclass(frozen=True, slots=True)
class _Issued:
    """A certificate as a service has it now.

    Attributes:
        issuer: key identifier of the authority that signed it.
        since: when it was made.
        trust: authorities in its `ca.crt`, PEM.
    """

    issuer: bytes
    since: datetime
    expires: datetime
    trust: bytes


def certificate_folder(directory: Path, service: str) -> Path:
    """Where a service's certificate lies.

    Args:
        directory: the install's secrets.
        service: its name.
    """
    return directory / "tls" / service


def trust_domain(directory: Path) -> str:
    """The install's name in certificates; made when there is none."""
    file = _authorities_folder(directory) / "trust_domain"
    if not file.exists():
        _write(file, f"{secrets.token_hex(8)}.reelmesh.internal".encode())
    return file.read_text(encoding="utf-8").strip()


def renew(directory: Path, services: Sequence[str], now: datetime) -> list[str]:
    """Makes whatever certificate is missing, unusable, half over, or of an authority that was replaced. To be called now and then.

    Args:
        directory: the install's secrets.
        services: names of those that need a certificate.
        now: the time.

    Returns:
        The services whose folder changed.
    """
    domain = trust_domain(directory)
    issued = {service: _issued(certificate_folder(directory, service)) for service in services}
    authorities = _believed(directory, list(issued.values()), now)
    issuing = _issuing(authorities, list(issued.values()), now)
    trust = b"".join(authority.pem for authority in authorities)
    changed = [
        service
        for service, found in issued.items()
        if found is None
        or found.trust != trust
        or found.issuer != _key_identifier(issuing)
        or now >= found.expires - LIFETIME / 2
        or now < found.since - _BACKDATED
    ]
    for service in changed:
        content = _certificate_and_key(issuing, domain, service, now)
        _replace_all(certificate_folder(directory, service), {**content, TRUST_FILE: trust})
    return changed


def replace_authority(directory: Path, now: datetime) -> None:
    """Makes a new authority, which takes over from the one before by and by; see `renew`."""
    _new_authority(directory, now)


def _authorities_folder(directory: Path) -> Path:
    folder = directory / "authority"
    folder.mkdir(mode=0o700, exist_ok=True)
    return folder


def _believed(directory: Path, issued: list[_Issued | None], now: datetime) -> list[_Authority]:
    """The authorities that everybody shall believe, oldest first. Removes those whose time is over; makes a new one when it is time."""
    found = [_read_authority(file) for file in sorted(_authorities_folder(directory).glob("*.pem"))]
    alive = [one for one in found if one is not None and now < one.certificate.not_valid_after_utc]
    if alive and _settled(alive[-1], issued, now):
        alive = alive[-1:]
    if not alive or now >= alive[-1].certificate.not_valid_after_utc - AUTHORITY_RENEWAL:
        alive.append(_new_authority(directory, now))
    kept = {one.file for one in alive}
    for one in found:
        if one is not None and one.file not in kept:
            one.file.unlink(missing_ok=True)
    return alive


def _settled(newest: _Authority, issued: list[_Issued | None], now: datetime) -> bool:
    """Whether everybody has had certificates of the newest authority for long enough to forget those before."""
    identifier = _key_identifier(newest)
    return all(one is not None and one.issuer == identifier and now >= one.since + OVERLAP for one in issued)


def _issuing(authorities: list[_Authority], issued: list[_Issued | None], now: datetime) -> _Authority:
    """Who signs now: the newest authority that everybody has believed for long enough, else the one that signed until now."""
    for authority in reversed(authorities):
        if all(one is not None and authority.pem in one.trust and now >= one.since + OVERLAP for one in issued):
            return authority
    signed = {one.issuer for one in issued if one is not None}
    return next((one for one in reversed(authorities) if _key_identifier(one) in signed), authorities[-1])


def _new_authority(directory: Path, now: datetime) -> _Authority:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Reelmesh"),
            # Two authorities of one install must not be taken for each other.
            x509.NameAttribute(NameOID.COMMON_NAME, f"Reelmesh {secrets.token_hex(4)}"),
        ]
    )
    identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    usage = _key_usage(signs_certificates=True)
    certificate = (
        _builder(name, name, key, now, AUTHORITY_LIFETIME)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(identifier, critical=False)
        # X509-SVID §4.1: an authority may carry the name of its trust domain.
        .add_extension(
            x509.SubjectAlternativeName([x509.UniformResourceIdentifier(f"spiffe://{trust_domain(directory)}")]),
            critical=False,
        )
        .sign(key, SHA256())
    )
    file = _authorities_folder(directory) / f"{now:%Y%m%dT%H%M%S%f}Z.pem"
    authority = _Authority(file, key, certificate)
    _write(file, _private_pem(key) + authority.pem)
    return authority


def _read_authority(file: Path) -> _Authority | None:
    try:
        content = file.read_bytes()
        key = load_pem_private_key(content, password=None)
        certificate = x509.load_pem_x509_certificate(content)
    except (OSError, ValueError):
        return None
    return _Authority(file, key, certificate) if isinstance(key, ec.EllipticCurvePrivateKey) else None


def _key_identifier(authority: _Authority) -> bytes:
    return x509.SubjectKeyIdentifier.from_public_key(authority.key.public_key()).digest


def _issued(folder: Path) -> _Issued | None:
    """What lies in a folder; None when no service could use it."""
    try:
        identity = read_identity(folder)
        leaf = x509.load_pem_x509_certificate(identity.certificate)
        issuer = leaf.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value.key_identifier
    except (UnusableCertificate, x509.ExtensionNotFound):
        return None
    since = leaf.not_valid_before_utc + _BACKDATED
    return _Issued(issuer or b"", since, leaf.not_valid_after_utc, identity.trust)


def _certificate_and_key(issuing: _Authority, domain: str, service: str, now: datetime) -> dict[str, bytes]:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, service)])
    names: list[x509.GeneralName] = [
        x509.UniformResourceIdentifier(spiffe_id(domain, service)),
        x509.DNSName(host_name(domain, service)),
    ]
    purposes = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
    certificate = (
        _builder(subject, issuing.certificate.subject, key, now, LIFETIME)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage(purposes), critical=False)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuing.key.public_key()), critical=False)
        .sign(issuing.key, SHA256())
    )
    return {CERTIFICATE_FILE: certificate.public_bytes(Encoding.PEM), KEY_FILE: _private_pem(key)}


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, now: datetime, lifetime: timedelta
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _BACKDATED)
        .not_valid_after(now + lifetime)
    )


def _key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _private_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _replace_all(folder: Path, content: dict[str, bytes]) -> None:
    """Puts files in place all at once: they lie in a folder of their own, and a link that leads there is swapped."""
    folder.parent.mkdir(mode=0o700, exist_ok=True)
    folder.mkdir(mode=0o700, exist_ok=True)
    fresh = folder / f"..{secrets.token_hex(8)}"
    fresh.mkdir(mode=0o700)
    for name, data in content.items():
        _write(fresh / name, data)
        link = folder / name
        if not link.is_symlink():
            link.unlink(missing_ok=True)
            link.symlink_to(f"{_DATA}/{name}")
    swapped = folder / "..data.new"
    swapped.unlink(missing_ok=True)
    swapped.symlink_to(fresh.name)
    swapped.replace(folder / _DATA)
    for old in folder.iterdir():
        if old.name.startswith("..") and old.is_dir() and not old.is_symlink() and old != fresh:
            shutil.rmtree(old, ignore_errors=True)


def _write(file: Path, content: bytes) -> None:
    partial = file.with_name(f"{file.name}.new")
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as target:
        target.write(content)
        target.flush()
        os.fsync(target.fileno())
    partial.replace(file)
