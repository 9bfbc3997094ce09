"""What Apple gives to an operator, as files in the folder of secrets, and the operator's D function."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, cast

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, load_der_private_key, load_pem_private_key

from services.drm.fairplay.spc import Derive

FOLDER: Final = "fairplay"
CERTIFICATE: Final = "certificate.der"
PRIVATE_KEY: Final = "private_key.pem"
PASSPHRASE: Final = "private_key.passphrase"  # noqa: S105 # the name of a file
APPLICATION_SECRET_KEY: Final = "ask"  # noqa: S105 # likewise
SETTING_D_FUNCTION: Final = "REELMESH_DRM_FAIRPLAY_D_FUNCTION"
SETTING_SERVER: Final = "REELMESH_DRM_FAIRPLAY_SERVER_URL"
_KEY_BYTES: Final = 16


class NotConfigured(Exception):
    """Something that FairPlay needs is not there or not usable.

    Attributes:
        missing: file or setting, as the operator knows it.
        why: what is the matter with it.
    """

    def __init__(self, missing: str, why: str) -> None:
        super().__init__(f"{missing}: {why}")
        self.missing = missing
        self.why = why


@dataclass(frozen=True, slots=True)
class Credentials:
    """One FairPlay deployment.

    Attributes:
        certificate: the application certificate, DER. Public.
        application_secret_key: ASk, 16 bytes.
    """

    certificate: bytes
    private_key: RSAPrivateKey = field(repr=False)
    application_secret_key: bytes = field(repr=False)


class CredentialFolder:
    """Where the files of FairPlay deployments lie: `<secrets>/fairplay/`, and for an organisation with a deployment of its own
    `<secrets>/fairplay/<organisation>/`. Files that are exchanged are taken up with the next request."""

    def __init__(self, secrets_dir: Path) -> None:
        self._folder = secrets_dir / FOLDER
        self._read: dict[Path, tuple[tuple[int, ...], Credentials]] = {}

    def certificate(self, organisation_id: str) -> bytes:
        """The application certificate, DER; the rest of the deployment need not be here.

        Raises:
            NotConfigured: it is not there, or no certificate.
        """
        return _certificate(self._of(organisation_id))

    def credentials(self, organisation_id: str) -> Credentials:
        """A deployment.

        Raises:
            NotConfigured: a file is not there, or not what it should be.
        """
        folder = self._of(organisation_id)
        names = (CERTIFICATE, PRIVATE_KEY, PASSPHRASE, APPLICATION_SECRET_KEY)
        seen = tuple(number for name in names for number in _stamp(folder / name))
        kept = self._read.get(folder)
        if kept is None or kept[0] != seen:
            kept = (seen, read_credentials(folder))
            self._read[folder] = kept
        return kept[1]

    @property
    def by_organisation(self) -> bool:
        """Whether any organisation has a deployment of its own."""
        return any(self._folder.glob(f"*/{CERTIFICATE}"))

    def _of(self, organisation_id: str) -> Path:
        own = self._folder / organisation_id
        return own if organisation_id and own.is_dir() else self._folder


def read_credentials(folder: Path) -> Credentials:
    """Reads a deployment from a folder.

    Raises:
        NotConfigured: a file is not there, or not what it should be.
    """
    certificate = _certificate(folder)
    passphrase_file = folder / PASSPHRASE
    passphrase = passphrase_file.read_bytes().strip() if passphrase_file.exists() else None
    private_key = read_private_key(_file(folder / PRIVATE_KEY), passphrase)
    public = x509.load_der_x509_certificate(certificate).public_key()
    if public != private_key.public_key():
        raise NotConfigured(f"{FOLDER}/{PRIVATE_KEY}", f"it is not the key of {FOLDER}/{CERTIFICATE}")
    return Credentials(certificate, private_key, read_secret_key(_file(folder / APPLICATION_SECRET_KEY)))


def read_certificate(content: bytes) -> bytes:
    """Reads a certificate, DER or PEM.

    Returns:
        DER, of which devices make the hash in their SPCs.

    Raises:
        NotConfigured: it is none.
    """
    load = x509.load_pem_x509_certificate if b"-----BEGIN" in content else x509.load_der_x509_certificate
    try:
        certificate = load(content)
    except ValueError:
        raise NotConfigured(f"{FOLDER}/{CERTIFICATE}", "it is no X.509 certificate in DER or PEM") from None
    return content if load is x509.load_der_x509_certificate else certificate.public_bytes(Encoding.DER)


def read_private_key(content: bytes, passphrase: bytes | None) -> RSAPrivateKey:
    """Reads an RSA key, PEM or DER, with or without a passphrase.

    Raises:
        NotConfigured: it is not one, or the passphrase is another.
    """
    load = load_pem_private_key if b"-----BEGIN" in content else load_der_private_key
    encrypted = b"ENCRYPTED" in content
    try:
        key = load(content, passphrase if encrypted or load is load_der_private_key else None)
    except (ValueError, TypeError):
        # Without the cause, which may quote what was read.
        raise NotConfigured(
            f"{FOLDER}/{PRIVATE_KEY}",
            f"it does not open; {FOLDER}/{PASSPHRASE} holds the passphrase of one that has any",
        ) from None
    if not isinstance(key, RSAPrivateKey):
        raise NotConfigured(f"{FOLDER}/{PRIVATE_KEY}", "it is no RSA key")
    return key


def read_secret_key(content: bytes) -> bytes:
    """Reads an application secret key: 16 bytes, or 32 hex digits.

    Raises:
        NotConfigured: it is neither.
    """
    if len(content) == _KEY_BYTES:
        return content
    try:
        key = bytes.fromhex(content.decode("ascii"))
    except ValueError:
        key = b""
    if len(key) != _KEY_BYTES:
        raise NotConfigured(f"{FOLDER}/{APPLICATION_SECRET_KEY}", "it is neither 16 bytes nor 32 hex digits")
    return key


def d_function(where: str) -> Derive:
    """Finds the operator's D function.

    Args:
        where: `package.module:function`, or `/path/to/file.py:function`.

    Raises:
        NotConfigured: there is none, or it is no function.
    """
    setting = SETTING_D_FUNCTION
    name, _, function = where.rpartition(":")
    if not name or not function:
        raise NotConfigured(
            setting, "it must name Apple's D function as `module:function` or `/path/to/file.py:function`"
        )
    try:
        if name.endswith(".py"):
            found_spec = importlib.util.spec_from_file_location("reelmesh_fairplay_d_function", name)
            assert found_spec is not None
            assert found_spec.loader is not None
            module = importlib.util.module_from_spec(found_spec)
            found_spec.loader.exec_module(module)
        else:
            module = importlib.import_module(name)
        found = getattr(module, function)
    except Exception as error:  # it is the operator's own code, and its words may hold what it keeps secret
        raise NotConfigured(setting, f"{where} cannot be loaded: {type(error).__name__}") from error
    if not callable(found):
        raise NotConfigured(setting, f"{where} is no function")
    return cast("Callable[[bytes, bytes], bytes]", found)


def _certificate(folder: Path) -> bytes:
    return read_certificate(_file(folder / CERTIFICATE))


def _file(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        raise NotConfigured(
            f"{FOLDER}/{path.name}", "there is no such file that can be read in the folder of secrets"
        ) from None


def _stamp(path: Path) -> tuple[int, ...]:
    """What changes when a file does."""
    try:
        seen = path.stat()
    except OSError:
        return (0,)
    return (seen.st_ino, seen.st_mtime_ns, seen.st_size)
