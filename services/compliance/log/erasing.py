"""Erasure of a person from the log: their key is destroyed, so what their leaves committed to cannot be opened; the leaves and all proofs stay.

For whoever answers requests of data subjects in this service: call it in the transaction that notes the receipt.
"""

from __future__ import annotations

from services.compliance.log import store
from services.compliance.log.keys import SubjectKeys, destroyed
from services.compliance.log.subjects import Subject
from services.kit.database import Tx
from services.kit.sealing import Seal


async def erase_subject(tx: Tx, install: Seal, subject: Subject) -> int:
    """Takes the meaning from every leaf that is about a person, and returns how many those were. Again does nothing.

    It waits for the writer and the writer for it, so nothing is sealed by the key behind its back. An event that names them later makes a new key.

    Args:
        tx: the transaction.
        install: the seal of the compliance service.
        subject: whom; an account by `Subject.of("", "usr_…")`, whom an organisation has a name of its own for by `Subject.of(organisation_id, name)`.
    """
    await store.alone(tx)
    return await destroyed(tx, SubjectKeys(install).digest(subject))
