"""Records, and what opens their commitments."""

from __future__ import annotations

import base64
import binascii
import hmac
import json
from typing import Any

from tools.audit_verifier import tree
from tools.audit_verifier.verdict import Verdict

_BESIDE = ("event_id", "event_type", "organisation_id")


def judge_leaf(verdict: Verdict, said: dict[str, Any], hashes: list[bytes]) -> None:
    """Judges one leaf of an export by the hashes of all leaves: is the record what was logged, does what stands beside it say the same, does what opens it fit."""
    index, text = said.get("index"), said.get("record")
    if not isinstance(index, int) or not isinstance(text, str) or not 0 <= index < len(hashes):
        verdict.fault("a leaf", "it has no place in the tree, or no record")
        return
    where = f"leaf {index}"
    verdict.records += 1
    if tree.leaf(text.encode(errors="replace")) != hashes[index]:
        verdict.fault(where, "its record is not the one that was logged")
        return
    try:
        record = json.loads(text)
    except ValueError:
        verdict.fault(where, "its record is no JSON")
        return
    for name in _BESIDE:
        if name in said and said[name] != record.get(name):
            verdict.fault(where, f"{name} beside the record is {said[name]!r}; the record says {record.get(name)!r}")
    if said.get("unreadable"):
        verdict.fault(where, "what is kept of its content was changed: its seal does not open")
    elif "disclosure" in said:
        _judge_disclosure(verdict, where, record, said["disclosure"])
    else:
        verdict.closed += 1


def _judge_disclosure(verdict: Verdict, where: str, record: dict[str, Any], opened: dict[str, Any]) -> None:
    try:
        payload, salt = _bytes(opened["payload"]), _bytes(opened["salt"])
        subjects = [(str(one["subject"]), _bytes(one["salt"])) for one in opened["subjects"]]
    except (KeyError, TypeError, binascii.Error) as error:
        verdict.fault(where, f"what should open it cannot be read: {error}")
        return
    verdict.opened += 1
    if _commitment(salt, payload) != record.get("content"):
        verdict.fault(where, "the content that is shown is not the one that was committed to")
    committed = record.get("subjects")
    if subjects and [_commitment(key, name.encode()) for name, key in subjects] != committed:
        verdict.fault(where, "the persons who are shown are not those that were committed to")


def _commitment(salt: bytes, content: bytes) -> str:
    return hmac.digest(salt, content, "sha256").hex()


def _bytes(text: str) -> bytes:
    return base64.b64decode(text, validate=True)
