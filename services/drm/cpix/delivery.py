"""Content keys within a document, encrypted to those who are to have them (CPIX 2.3, sections 4.1 and 6.1).

Each recipient's RSA key opens a document key of 256 bits and a MAC key of 512; the document key opens the content keys (AES-256-CBC, its IV before the
ciphertext), the MAC key tells whether they came unaltered (HMAC-SHA512 over the bytes of `CipherValue`), and is asked first.
"""

from __future__ import annotations

import hmac
import secrets
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, padding
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.padding import MGF1, OAEP
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.serialization import Encoding
from lxml import etree

from services.drm.cpix import markup
from services.drm.cpix.faults import CertificateUnusable, MacInvalid, Malformed, NotForUs
from services.drm.cpix.markup import CPIX, ENC, PSKC
from services.drm.cpix.reading import certificate_of, listed

AES256_CBC: Final = f"{ENC}aes256-cbc"
RSA_OAEP: Final = f"{ENC}rsa-oaep-mgf1p"
HMAC_SHA512: Final = "http://www.w3.org/2001/04/xmldsig-more#hmac-sha512"
LEAST_RSA_BITS: Final = 2048
_DOCUMENT_KEY_BYTES: Final = 32
_MAC_KEY_BYTES: Final = 64
_IV_BYTES: Final = 16
_KEY_BYTES: Final = 16
_WEAK: Final = (hashes.SHA1, hashes.MD5)


@dataclass(frozen=True, slots=True)
class _Opened:
    """What a recipient finds in its `DeliveryData`."""

    document_key: bytes = field(repr=False)
    mac_key: bytes = field(repr=False)


def _oaep() -> OAEP:
    # XML Encryption's rsa-oaep-mgf1p is SHA-1 twice, which is no weakness of OAEP.
    return OAEP(mgf=MGF1(hashes.SHA1()), algorithm=hashes.SHA1(), label=None)  # noqa: S303  # by the standard


def usable(certificate: bytes, now: datetime) -> x509.Certificate:
    """A certificate (DER) that may be trusted with keys or signatures: RSA of at least 2048 bits or an elliptic curve, signed with something better
    than SHA-1, and valid now.

    Raises:
        CertificateUnusable: it is not.
    """
    try:
        read = x509.load_der_x509_certificate(certificate)
        key = read.public_key()
        signed_with = read.signature_hash_algorithm
    except Exception as error:  # whatever the library stumbles over in a stranger's bytes
        raise CertificateUnusable("The certificate cannot be read: send X.509 as DER, in base64") from error
    if isinstance(key, rsa.RSAPublicKey):
        if key.key_size < LEAST_RSA_BITS:
            raise CertificateUnusable(f"The certificate's key has {key.key_size} bits; {LEAST_RSA_BITS} are the least")
    elif not isinstance(key, ec.EllipticCurvePublicKey):
        raise CertificateUnusable("The certificate's key is neither RSA nor of an elliptic curve")
    if isinstance(signed_with, _WEAK):
        raise CertificateUnusable("The certificate is signed with SHA-1 or MD5")
    if not read.not_valid_before_utc <= now <= read.not_valid_after_utc:
        raise CertificateUnusable("The certificate is not valid at this time")
    return read


def encrypt(root: etree._Element, now: datetime) -> None:
    """Replaces the keys of a tree, which stand in it in the clear, by such as its recipients alone can read. Each `DeliveryData` gets what opens them.

    Raises:
        CertificateUnusable: of a recipient.
    """
    document_key, mac_key = secrets.token_bytes(_DOCUMENT_KEY_BYTES), secrets.token_bytes(_MAC_KEY_BYTES)
    for delivery_data in listed(root, "DeliveryDataList", "DeliveryData"):
        key = usable(certificate_of(delivery_data), now).public_key()
        if not isinstance(key, rsa.RSAPublicKey):
            raise CertificateUnusable("Keys can be encrypted to RSA certificates only")
        _put_delivery(delivery_data, key.encrypt(document_key, _oaep()), key.encrypt(mac_key, _oaep()), mac_key)
    for secret in root.iterfind("cpix:ContentKeyList/cpix:ContentKey/cpix:Data/pskc:Secret", markup.NAMESPACES):
        plain = markup.required(secret, "pskc:PlainValue")
        sealed = _sealed(document_key, markup.bytes_of(plain))
        secret.remove(plain)
        _put_cipher(etree.SubElement(secret, f"{{{PSKC}}}EncryptedValue"), AES256_CBC, sealed)
        _put_mac(secret, mac_key, sealed)


def decrypted(
    root: etree._Element, certificate: x509.Certificate, private_key: rsa.RSAPrivateKey
) -> dict[bytes, bytes]:
    """The content keys of a document by their ids, for one of its recipients.

    Raises:
        NotForUs: it is encrypted to others, or with another key of the same name.
        MacInvalid: a key was altered, or has no MAC.
        Malformed: it is not encrypted as it should be.
    """
    opened = _opened(root, certificate, private_key)
    found = {}
    for content_key in listed(root, "ContentKeyList", "ContentKey"):
        key_id = markup.key_id_of(content_key.get("kid"), "ContentKey@kid")
        secret = markup.required(content_key, "cpix:Data/pskc:Secret")
        sealed = _cipher(markup.required(secret, "pskc:EncryptedValue"), AES256_CBC)
        if not _mac_fits(secret, opened.mac_key, sealed):
            raise MacInvalid(f"The MAC of ContentKey {markup.key_id_text(key_id)} does not fit its value")
        found[key_id] = _unsealed(opened.document_key, sealed, _KEY_BYTES)
    return found


def _opened(root: etree._Element, certificate: x509.Certificate, private_key: rsa.RSAPrivateKey) -> _Opened:
    ours = certificate.public_bytes(Encoding.DER)
    for delivery_data in listed(root, "DeliveryDataList", "DeliveryData"):
        if certificate_of(delivery_data) != ours:
            continue
        document_key = markup.required(delivery_data, "cpix:DocumentKey")
        method = markup.required(delivery_data, "cpix:MACMethod")
        if document_key.get("Algorithm") != AES256_CBC or method.get("Algorithm") != HMAC_SHA512:
            raise Malformed("The document's keys are encrypted or authenticated by other means than CPIX names")
        secret = markup.required(document_key, "cpix:Data/pskc:Secret")
        wrapped = _cipher(markup.required(secret, "pskc:EncryptedValue"), RSA_OAEP)
        # PSKC's own type has the ciphertext right within `Key`; SPEKE's example wraps it once more.
        holder = markup.required(method, "cpix:Key")
        inner = markup.only(holder, "pskc:EncryptedValue")
        mac_key = _rsa_opened(private_key, _cipher(holder if inner is None else inner, RSA_OAEP), _MAC_KEY_BYTES)
        if markup.only(secret, "pskc:ValueMAC") is not None and not _mac_fits(secret, mac_key, wrapped):
            raise MacInvalid("The MAC of the DocumentKey does not fit its value")
        return _Opened(_rsa_opened(private_key, wrapped, _DOCUMENT_KEY_BYTES), mac_key)
    raise NotForUs("The document is encrypted to others")


def _rsa_opened(private_key: rsa.RSAPrivateKey, wrapped: bytes, size: int) -> bytes:
    try:
        value = private_key.decrypt(wrapped, _oaep())
    except ValueError:
        raise NotForUs("The document's keys do not open with this private key") from None
    if len(value) != size:
        raise Malformed(f"A key of the document has {len(value)} bytes, not {size}")
    return value


def _put_delivery(delivery_data: etree._Element, document_key: bytes, wrapped_mac: bytes, mac_key: bytes) -> None:
    for old in [*markup.children(delivery_data, "cpix:DocumentKey"), *markup.children(delivery_data, "cpix:MACMethod")]:
        delivery_data.remove(old)
    holder = etree.Element(f"{{{CPIX}}}DocumentKey", Algorithm=AES256_CBC)
    secret = etree.SubElement(etree.SubElement(holder, f"{{{CPIX}}}Data"), f"{{{PSKC}}}Secret")
    _put_cipher(etree.SubElement(secret, f"{{{PSKC}}}EncryptedValue"), RSA_OAEP, document_key)
    _put_mac(secret, mac_key, document_key)
    method = etree.Element(f"{{{CPIX}}}MACMethod", Algorithm=HMAC_SHA512)
    _put_cipher(etree.SubElement(method, f"{{{CPIX}}}Key"), RSA_OAEP, wrapped_mac)
    # Right behind the DeliveryKey, where the schema wants them.
    place = delivery_data.index(markup.required(delivery_data, "cpix:DeliveryKey")) + 1
    delivery_data[place:place] = [holder, method]


def _put_cipher(holder: etree._Element, algorithm: str, value: bytes) -> None:
    etree.SubElement(holder, f"{{{ENC}}}EncryptionMethod", Algorithm=algorithm)
    data = etree.SubElement(holder, f"{{{ENC}}}CipherData")
    etree.SubElement(data, f"{{{ENC}}}CipherValue").text = markup.to_base64(value)


def _put_mac(secret: etree._Element, mac_key: bytes, value: bytes) -> None:
    mac = hmac.digest(mac_key, value, "sha512")
    etree.SubElement(secret, f"{{{PSKC}}}ValueMAC").text = markup.to_base64(mac)


def _cipher(holder: etree._Element, algorithm: str) -> bytes:
    if markup.required(holder, "enc:EncryptionMethod").get("Algorithm") != algorithm:
        raise Malformed(f"{markup.name_of(holder)} is encrypted by other means than CPIX names")
    return markup.bytes_of(markup.required(holder, "enc:CipherData/enc:CipherValue"))


def _mac_fits(secret: etree._Element, mac_key: bytes, value: bytes) -> bool:
    said = markup.only(secret, "pskc:ValueMAC")
    if said is None:
        return False
    return hmac.compare_digest(hmac.digest(mac_key, value, "sha512"), markup.bytes_of(said))


def _sealed(key: bytes, value: bytes) -> bytes:
    iv, padder = secrets.token_bytes(_IV_BYTES), padding.PKCS7(128).padder()
    cipher = Cipher(algorithms.AES(key), modes.CBC(iv)).encryptor()
    return iv + cipher.update(padder.update(value) + padder.finalize()) + cipher.finalize()


def _unsealed(key: bytes, sealed: bytes, size: int) -> bytes:
    # The MAC was good, so nobody learns anything by what is said here.
    try:
        cipher = Cipher(algorithms.AES(key), modes.CBC(sealed[:_IV_BYTES])).decryptor()
        unpadder = padding.PKCS7(128).unpadder()
        value = unpadder.update(cipher.update(sealed[_IV_BYTES:]) + cipher.finalize()) + unpadder.finalize()
    except ValueError:
        raise Malformed("A content key is not encrypted with the document's key") from None
    if len(value) != size:
        raise Malformed(f"A content key has {len(value)} bytes, not {size}")
    return value
