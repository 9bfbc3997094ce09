"""One way in for all that can be verified."""

from __future__ import annotations

from pathlib import Path

from tools.audit_verifier import export, folder, proof
from tools.audit_verifier.anchors import Headers
from tools.audit_verifier.note import Bad, Key
from tools.audit_verifier.verdict import Verdict


def verified(
    path: Path,
    *,
    key: str = "",
    checkpoint: Path | None = None,
    witnesses: tuple[str, ...] = (),
    headers: tuple[str, ...] = (),
) -> Verdict:
    """Verifies an export, a folder of tiles or a proof of one leaf.

    Args:
        path: what to verify.
        key: the log's verifier key. Empty: the one that an export names, which proves no more than that the file is of one piece.
        checkpoint: a file with a checkpoint of the log that was kept elsewhere.
        witnesses: verifier keys of witnesses whose cosignatures count.
        headers: headers of blocks of Bitcoin, 80 bytes in hexadecimal, to compare the timestamps of an export with.

    Raises:
        Bad: nothing can be said about it, because it is none of those, or a key, checkpoint or header is not one.
        OSError: it cannot be read.
    """
    known = checkpoint.read_text(encoding="utf-8") if checkpoint else ""
    seen, own = tuple(Key.read(text) for text in witnesses), Key.read(key) if key else None
    blocks = Headers.of(headers)
    if path.is_dir():
        return folder.verified(path, _needed(own), known, seen)
    with path.open("rb") as source:
        start = source.read(len(proof.FIRST_LINE))
    if start == proof.FIRST_LINE.encode():
        return proof.verified(path.read_text(encoding="utf-8"), _needed(own), known, seen)
    return export.verified(path, own, known, seen, blocks)


def _needed(key: Key | None) -> Key:
    if key is None:
        raise Bad("say by --key whose log it is: `reelmesh audit checkpoint` shows the key")
    return key
