"""The keys of persons: made when an event first names them, gone when they are erased."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import datetime
from typing import Final

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY

from services.compliance.log.contents import SubjectKey, new_key, seal_of
from services.compliance.log.store import copied
from services.compliance.log.subjects import Subject
from services.kit.database import Tx
from services.kit.sealing import Seal, Unreadable

_TABLE: Final = sa.Table(
    "log_subject_keys",
    sa.MetaData(),
    sa.Column("key_id", sa.BigInteger, primary_key=True),
    sa.Column("subject_digest", sa.LargeBinary),
    sa.Column("sealed_key", sa.LargeBinary),
    sa.Column("create_time", sa.DateTime(timezone=True)),
)

_FIND: Final = sa.select(_TABLE.c.key_id, _TABLE.c.subject_digest, _TABLE.c.sealed_key).where(
    _TABLE.c.subject_digest == sa.any_(sa.bindparam("digests", type_=ARRAY(sa.LargeBinary)))
)


class SubjectKeys:
    """The keys of persons, sealed by the install's own. Nothing is remembered between transactions: a key that was destroyed is gone at once."""

    def __init__(self, install: Seal) -> None:
        self._install = install

    def digest(self, subject: Subject) -> bytes:
        """By which a person is found. Who has not the install's key cannot tell who it is."""
        return self._install.digest("subject", subject.scope, subject.name)

    async def of(self, tx: Tx, subjects: Iterable[Subject], now: datetime) -> dict[Subject, SubjectKey]:
        """The keys of persons; whoever has none gets one. Only who is alone with the log may ask, so that nobody gets two."""
        wanted = {self.digest(subject): subject for subject in subjects}
        if not wanted:
            return {}
        found = {
            row.subject_digest: SubjectKey(row.key_id, self._opened(row.subject_digest, row.sealed_key))
            for row in await tx.execute(_FIND, {"digests": list(wanted)})
        }
        if made := {digest: new_key() for digest in wanted if digest not in found}:
            rows = [(digest, self._install.seal(key, digest.hex()), now) for digest, key in made.items()]
            await copied(tx, "log_subject_keys", ("subject_digest", "sealed_key", "create_time"), rows)
            for row in await tx.execute(_FIND, {"digests": list(made)}):
                found[row.subject_digest] = SubjectKey(row.key_id, seal_of(made[row.subject_digest]))
        return {wanted[digest]: key for digest, key in found.items()}

    async def by_id(self, tx: Tx, key_ids: Collection[int]) -> dict[int, Seal | None]:
        """Those of some keys that are still there; None for one that somebody changed."""
        asked = sa.bindparam("ids", sorted(key_ids), type_=ARRAY(sa.BigInteger))
        rows = await tx.execute(sa.select(_TABLE).where(_TABLE.c.key_id == sa.any_(asked)))
        found = dict[int, Seal | None]()
        for row in rows:
            try:
                found[row.key_id] = self._opened(row.subject_digest, row.sealed_key)
            except Unreadable:
                found[row.key_id] = None
        return found

    def _opened(self, digest: bytes, sealed_key: bytes) -> Seal:
        return seal_of(self._install.open(sealed_key, digest.hex()))


_ERASE: Final = (
    """DELETE FROM log_contents WHERE leaf_index IN (
         SELECT leaf_index FROM log_content_subjects WHERE key_id = :key_id)""",
    """DELETE FROM log_content_subjects WHERE leaf_index IN (
         SELECT leaf_index FROM log_content_subjects WHERE key_id = :key_id)""",
    "DELETE FROM log_subject_keys WHERE key_id = :key_id",
)


async def destroyed(tx: Tx, digest: bytes) -> int:
    """Destroys a person's key, and removes what was sealed under it. Returns how many leaves lost their meaning."""
    found = sa.select(_TABLE.c.key_id).where(_TABLE.c.subject_digest == digest).with_for_update()
    key_id = (await tx.execute(found)).scalar_one_or_none()
    if key_id is None:
        return 0
    erased = [(await tx.execute(sa.text(statement), {"key_id": key_id})).rowcount for statement in _ERASE]
    return erased[0]
