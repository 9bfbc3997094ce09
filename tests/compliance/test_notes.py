"""Notes and checkpoints: the examples of the specification, and everything that is not quite one."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from services.compliance.log.merkle import EMPTY_ROOT
from services.compliance.log.notes import BadKey, Signer, VerifierKey, checkpoint_text, good_cosignatures, text_of
from tests.compliance.witness import Witness
from tools.audit_verifier.note import Bad, Key, Note, signed_checkpoint

VECTORS = Path(__file__).resolve().parents[3] / "shared/vectors/tlog"
SIGNER = Signer("log.example/audit", bytes(range(32)))


@pytest.mark.skipif(not VECTORS.exists(), reason="the published vectors are not beside this repository")
def test_the_example_of_the_specification_verifies() -> None:
    text = (VECTORS / "signed-note.md").read_text()
    key_text = re.findall(r"^ {4}(example\.com/foo\+\S+)$", text, re.MULTILINE)[-1]
    note = re.findall(r"```\n(.*?)```", text, re.DOTALL)[-1]
    key = Key.read(key_text)
    assert str(VerifierKey.parsed(key_text)) == key_text
    assert Note.read(note).by([key]) == [key]
    with pytest.raises(Bad, match="is not good"):
        Note.read(note.replace("message", "massage")).by([key])


def test_a_checkpoint_of_the_log_is_one_for_the_verifier() -> None:
    note = SIGNER.checkpoint(7, b"r" * 32)
    checkpoint, _ = signed_checkpoint(note, Key.read(str(SIGNER.verifier_key)))
    assert (checkpoint.origin, checkpoint.size, checkpoint.root) == ("log.example/audit", 7, b"r" * 32)
    assert text_of(note) == checkpoint_text("log.example/audit", 7, b"r" * 32)


def test_every_change_of_a_checkpoint_is_found() -> None:
    note, key = SIGNER.checkpoint(7, EMPTY_ROOT), Key.read(str(SIGNER.verifier_key))
    encoded = note.encode()
    for at in range(len(encoded)):
        changed = bytearray(encoded)
        changed[at] ^= 1
        with pytest.raises((Bad, UnicodeDecodeError)):
            signed_checkpoint(bytes(changed).decode(), key)


def test_another_logs_checkpoint_is_not_this_ones() -> None:
    other = Signer("log.example/audit", bytes(32))
    with pytest.raises(Bad, match="not signed by"):
        signed_checkpoint(other.checkpoint(1, EMPTY_ROOT), Key.read(str(SIGNER.verifier_key)))
    with pytest.raises(Bad, match=r"checkpoint of other\.example, not of"):
        signed_checkpoint(
            Signer("other.example", bytes(range(32))).checkpoint(1, EMPTY_ROOT), Key.read(str(SIGNER.verifier_key))
        )


@pytest.mark.parametrize("text", ["", "a+b", "a b+00000000+AQ==", "log+00000000+AQ==", "log+00000000+!!"])
def test_what_is_no_key_is_refused_by_both(text: str) -> None:
    with pytest.raises(BadKey):
        VerifierKey.parsed(text)
    with pytest.raises(Bad):
        Key.read(text)


def test_a_key_with_another_keys_id_is_refused() -> None:
    text = str(SIGNER.verifier_key)
    wrong = text.replace(SIGNER.verifier_key.key_id.hex(), "00000000")
    with pytest.raises(BadKey, match="should be"):
        VerifierKey.parsed(wrong)
    with pytest.raises(Bad, match="another key's"):
        Key.read(wrong)


def test_the_name_of_a_log_has_no_spaces() -> None:
    with pytest.raises(ValueError, match="no spaces"):
        Signer("my log", bytes(32))


def test_cosignatures_count_by_known_witnesses_on_this_text_only() -> None:
    witness, stranger = Witness("witness.example"), Witness("stranger.example")
    text = text_of(SIGNER.checkpoint(3, EMPTY_ROOT))
    known = (VerifierKey.parsed(witness.verifier_key),)
    lines = stranger.cosignature(text) + "rubbish\n— witness.example !!\n" + witness.cosignature(text)
    (good,) = good_cosignatures(text, lines, known)
    assert good.line == witness.cosignature(text)
    assert good.witness == "witness.example"
    assert good_cosignatures(text.replace("3", "4"), lines, known) == []
    # A plain signature by the same key is none: it was not made for this.
    plain = Signer("witness.example", Ed25519PrivateKey.generate().private_bytes_raw()).checkpoint(3, EMPTY_ROOT)
    assert good_cosignatures(text, plain, known) == []
    verifier = Key.read(witness.verifier_key)
    assert Note.read(SIGNER.checkpoint(3, EMPTY_ROOT) + good.line).by([verifier]) == [verifier]
