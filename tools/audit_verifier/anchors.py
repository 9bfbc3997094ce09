"""Anchors in an export: what of the log lies where its keeper cannot change it."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from typing import Any, Final

from tools.audit_verifier.ethereum import Transaction, keccak
from tools.audit_verifier.note import Bad, Checkpoint, Key, signed_checkpoint
from tools.audit_verifier.opentimestamps import Header, read
from tools.audit_verifier.verdict import Anchor, Verdict

MARK: Final = b"RMA1"
"""What the input of a transaction that anchors a log begins with."""


@dataclass(slots=True)
class Headers:
    """Headers of Bitcoin's blocks that whoever verifies has from elsewhere, by their Merkle roots."""

    known: dict[bytes, Header]

    @classmethod
    def of(cls, texts: tuple[str, ...]) -> Headers:
        """Reads them.

        Raises:
            Bad: one is none.
        """
        return cls({header.root: header for header in map(Header.read, texts)})


def judge_anchor(
    verdict: Verdict, number: int, said: dict[str, Any], key: Key, headers: Headers
) -> tuple[str, Checkpoint] | None:
    """Judges an anchor by itself: its checkpoint is the log's, and what lies elsewhere is of that checkpoint.

    Args:
        verdict: where faults go, and what was found.
        number: of its line.
        said: the line.
        key: the log's.
        headers: blocks to compare timestamps with.

    Returns:
        The checkpoint and what it is called, to be compared with the tree; None when it is not good.
    """
    where = f"the anchor in line {number}"
    try:
        checkpoint, _ = signed_checkpoint(str(said.get("note", "")), key)
        found = _judged(said, checkpoint, headers)
    except Bad as error:
        verdict.fault(where, str(error))
        return None
    verdict.anchors.append(found)
    return where, checkpoint


def _judged(said: dict[str, Any], checkpoint: Checkpoint, headers: Headers) -> Anchor:
    if said.get("tree_size") != checkpoint.size or _bytes(said.get("root")) != checkpoint.root:
        raise Bad(f"its size and root are not those of the checkpoint of {checkpoint.size} that it holds")
    found = Anchor(str(said.get("anchor", "")), checkpoint.size, confirmed=said.get("confirmed") is True)
    if "transaction" in said:
        _judge_transaction(said, checkpoint, found)
    elif "ots" in said:
        _judge_timestamp(said, found, headers)
    else:
        raise Bad("it holds neither a transaction nor a timestamp")
    return found


def _judge_transaction(said: dict[str, Any], checkpoint: Checkpoint, found: Anchor) -> None:
    try:
        raw = bytes.fromhex(str(said["transaction"]))
    except ValueError as error:
        raise Bad("its transaction is not hexadecimal") from error
    if not raw and not found.confirmed:
        return  # it was begun, and nothing is signed yet
    hashed = f"0x{keccak(raw).hex()}"
    if said.get("transaction_hash") != hashed:
        raise Bad(f"its transaction has the hash {hashed}, and not the one that is named")
    transaction = Transaction.read(raw)
    origin = hashlib.sha256(checkpoint.origin.encode()).digest()
    if transaction.data != MARK + origin + checkpoint.size.to_bytes(8) + checkpoint.root:
        raise Bad(f"its transaction does not name this log with {checkpoint.size} leaves and their root")
    if transaction.chain_id != said.get("chain_id") or found.anchor != f"evm-{transaction.chain_id}":
        raise Bad(f"its transaction is of chain {transaction.chain_id}, and not of the one that is named")
    found.transaction_hash, found.block = hashed, _number(said.get("block_number"))


def _judge_timestamp(said: dict[str, Any], found: Anchor, headers: Headers) -> None:
    content = _bytes(said["ots"])
    if not content and not found.confirmed:
        return  # no calendar has taken it yet
    timestamp = read(content)
    if timestamp.digest != hashlib.sha256(str(said["note"]).encode()).digest():
        raise Bad("its timestamp is not of the checkpoint that it holds")
    if found.confirmed and not timestamp.bitcoin:
        raise Bad("it says that it is confirmed, and its timestamp names no block of Bitcoin")
    for height, root in sorted(timestamp.bitcoin):
        found.block = found.block or height
        if (header := headers.known.get(root)) is not None:
            found.block, found.block_hash, found.time = height, header.block_hash, header.time
            return


def _bytes(text: object) -> bytes:
    try:
        return base64.b64decode(str(text), validate=True)
    except ValueError as error:
        raise Bad("a part of it is no base64") from error


def _number(value: object) -> int:
    return value if isinstance(value, int) else 0
