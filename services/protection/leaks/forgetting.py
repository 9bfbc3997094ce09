"""Forgets cases that were closed long ago, with their evidence and notices."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import sqlalchemy as sa

from services.kit.database import Tx
from services.protection.leaks.domain import ActionKind, ActionState, CaseState, evidence_key
from services.protection.leaks.tables import actions, cases, evidence, findings, takedowns
from services.protection.leaks.takedowns import document_key


async def forget(tx: Tx, before: datetime, limit: int = 20) -> Sequence[str]:
    """Forgets cases that were closed before a moment. One whose block still stands is kept: it must be possible to take that back.

    Returns:
        Keys of objects that nothing speaks of any more, to be removed before the transaction ends.
    """
    standing = sa.exists().where(
        actions.c.case_id == cases.c.case_id,
        actions.c.kind == int(ActionKind.BLOCK_VIEWER),
        actions.c.state == int(ActionState.APPROVED),
    )
    closed = cases.c.state == int(CaseState.CLOSED)
    query = sa.select(cases.c.case_id).where(closed, cases.c.close_time < before, ~standing).limit(limit)
    gone = list((await tx.execute(query.with_for_update(skip_locked=True))).scalars())
    if not gone:
        return []
    proof = sa.delete(evidence).where(evidence.c.case_id.in_(gone))
    notices = sa.delete(takedowns).where(takedowns.c.case_id.in_(gone))
    kept = [
        (one.organisation_id, one.sha256)
        for one in await tx.execute(proof.returning(evidence.c.organisation_id, evidence.c.sha256))
    ]
    written = [
        document_key(one.organisation_id, one.document_sha256)
        for one in await tx.execute(notices.returning(takedowns.c.organisation_id, takedowns.c.document_sha256))
    ]
    for table in (actions, findings, cases):
        await tx.execute(sa.delete(table).where(table.c.case_id.in_(gone)))
    # The same bytes may be evidence of another case, and then stay.
    whose, what = evidence.c.organisation_id, evidence.c.sha256
    left = await tx.execute(sa.select(whose, what).where(sa.tuple_(whose, what).in_(kept)))
    others = {(row.organisation_id, row.sha256) for row in left}
    return [*(evidence_key(*one) for one in sorted(set(kept) - others)), *written]
