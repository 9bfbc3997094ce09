"""Proofs of one leaf (C2SP tlog-proof). The record of the leaf is their extra data."""

from __future__ import annotations

import base64
from typing import Final

from tools.audit_verifier import tree
from tools.audit_verifier.export import signed_elsewhere, witnessed
from tools.audit_verifier.note import Bad, Key, signed_checkpoint
from tools.audit_verifier.verdict import Verdict

FIRST_LINE: Final = "c2sp.org/tlog-proof@v1"


def verified(text: str, key: Key, known: str, witnesses: tuple[Key, ...]) -> Verdict:
    """Verifies a proof of inclusion. Arguments as those of `export.verified`; of the known checkpoint only its signature can be judged here.

    Raises:
        Bad: it has not the form of one, or its checkpoint was not signed by the key.
    """
    head, blank, note = text.partition("\n\n")
    lines = head.split("\n")
    if len(lines) < 3 or not blank or lines[0] != FIRST_LINE or not lines[1].startswith("extra "):
        raise Bad("it is no proof of the audit log: its record, place and hashes, and a checkpoint")
    place = lines[2].removeprefix("index ")
    if not lines[2].startswith("index ") or not place.isdecimal() or str(int(place)) != place:
        raise Bad(f"{lines[2]!r} says no place")
    try:
        record = base64.b64decode(lines[1].removeprefix("extra "), validate=True)
        hashes = [base64.b64decode(line, validate=True) for line in lines[3:]]
    except ValueError as error:
        raise Bad("its record or one of its hashes is no base64") from error
    checkpoint, signed = signed_checkpoint(note, key)
    verdict = Verdict(
        origin=key.name, tree_size=checkpoint.size, root=checkpoint.root.hex(), records=1, closed=1, key_given=True
    )
    witnessed(verdict, [witness.name for witness in signed.by(witnesses)])
    if not tree.included(int(place), checkpoint.size, tree.leaf(record), hashes, checkpoint.root):
        verdict.fault(f"leaf {place}", "the proof does not show that this record is in the tree of the checkpoint")
    if known:
        signed_elsewhere(verdict, known, key)
    return verdict
