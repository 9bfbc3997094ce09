"""Documents that the DASH Industry Forum published: their keys come out, and what is wrong with them is found."""

from __future__ import annotations

import base64
import warnings
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import pkcs12

from services.drm.cpix import delivery, markup, reading, schema
from services.drm.cpix.faults import MacInvalid, NotForUs
from tests.drm.cpix.certificates import holder

VECTORS = Path(__file__).resolve().parents[4] / "shared/vectors/cpix"

# From the vectors' own Readme.md.
PUBLISHED = {
    "bd5adf51-cf04-410f-aac3-ec63a69e929e": "3rWoHYasQubO6HbJGrGtLw==",
    "d2920429-87ab-41e6-a4c5-a8c836b6312e": "O5w9FdZiwmQK4uIXzAziaQ==",
    "e17ba4b8-faff-4d30-bcba-7485e3f2e884": "Cwu/3hSBBRQ7SurBdZD5ow==",
    "0ae6b9ad-92d2-4ebe-882b-1d07dee70715": "FB6/Eck9Y9SXy6bY8UU/Mw==",
}


def vector(name: str) -> bytes:
    file = VECTORS / name
    if not file.exists():
        pytest.skip("the shared vectors are not here")
    return file.read_bytes()


def entity(number: int) -> tuple[x509.Certificate, rsa.RSAPrivateKey]:
    """One of the vectors' recipients; its password is the file's name."""
    with warnings.catch_warnings():
        # Its serial number is negative, which RFC 5280 does not want.
        warnings.simplefilter("ignore")
        key, certificate, _ = pkcs12.load_key_and_certificates(vector(f"Cert{number}.pfx"), f"Cert{number}".encode())
    assert isinstance(key, rsa.RSAPrivateKey)
    assert certificate is not None
    return certificate, key


def test_encrypted_keys_open_to_the_published_values() -> None:
    root = markup.read(vector("EncryptedContentKeys.xml"))
    schema.judge(root, strictly=True)
    found = delivery.decrypted(root, *entity(1))
    assert {markup.key_id_text(key_id): base64.b64encode(key).decode() for key_id, key in found.items()} == PUBLISHED


def test_a_key_whose_mac_does_not_fit_is_refused_and_only_then() -> None:
    root = markup.read(vector("Invalid_WrongMac.xml"))
    assert len(reading.document_of(root).keys) == 1
    with pytest.raises(MacInvalid, match="The MAC of ContentKey 5ad2b739-4f46-48df-9a44-aab8c35abf71 does not fit"):
        delivery.decrypted(root, *entity(1))


def test_others_than_the_recipients_learn_nothing() -> None:
    root = markup.read(vector("EncryptedContentKeys.xml"))
    with pytest.raises(NotForUs, match="encrypted to others"):
        delivery.decrypted(root, holder().certificate, holder().key)
    certificate, _ = entity(1)
    with pytest.raises(NotForUs, match="do not open with this private key"):
        delivery.decrypted(root, certificate, holder().key)


def test_keys_in_the_clear_are_read() -> None:
    keys = reading.read(vector("ClearContentKeysOnly.xml")).keys
    assert [markup.key_id_text(key.key_id) for key in keys] == [
        "40d02dd1-61a3-4787-a155-572325d47b80",
        "0a30ea4f-539d-4b02-94b2-2b3fba2576d3",
        "9f7908fa-5d5c-4097-ba53-50edc2235fbc",
        "fac2cbf5-889c-412b-a385-04a29d409bdc",
    ]
    assert keys[0].value == base64.b64decode("gPxt0PMwrHM4TdjwdQmhhQ==")


def test_periods_of_rotating_keys_are_read() -> None:
    document = reading.read(vector("KeyRotationMultiKeySinglePeriod.xml"))
    assert [(period.period_id, period.index) for period in document.periods] == [("now", 1)]
    assert [rule.periods for rule in document.rules] == [("now",), ("now",)]
    video, audio = document.keys
    assert video.explicit_iv == bytes.fromhex("f45bcebbf0df4a34bf4ec24edfcf6289"), "written as a UUID there"
    assert (document.rules[0].key_id, bool(document.rules[0].video)) == (video.key_id, True)
    assert (document.rules[1].key_id, bool(document.rules[1].audio)) == (audio.key_id, True)


def test_keys_do_not_show_when_a_document_is_printed() -> None:
    document = reading.read(vector("ClearContentKeysOnly.xml"))
    assert all(key.value is not None and repr(key.value) not in repr(document) for key in document.keys)
