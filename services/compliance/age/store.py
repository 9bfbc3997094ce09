"""Tables of checks and proofs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import IntEnum
from typing import Final

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from services.compliance.age.contract import Verdict
from services.kit.database import Tx
from services.kit.pagination import Page

_METADATA: Final = sa.MetaData()

checks: Final = sa.Table(
    "age_checks",
    _METADATA,
    sa.Column("check_id", sa.Text, primary_key=True),
    sa.Column("organisation_id", sa.Text),
    sa.Column("viewer_id", sa.Text),
    sa.Column("device_id", sa.Text),
    sa.Column("provider", sa.Text),
    sa.Column("method", sa.Text),
    sa.Column("threshold", sa.SmallInteger),
    sa.Column("state", sa.SmallInteger),
    sa.Column("failure", sa.Text),
    sa.Column("nonce_hash", sa.LargeBinary),
    sa.Column("sealed", sa.LargeBinary),
    sa.Column("return_path", sa.Text),
    sa.Column("create_time", sa.DateTime(timezone=True)),
    sa.Column("expire_time", sa.DateTime(timezone=True)),
)
proofs: Final = sa.Table(
    "age_proofs",
    _METADATA,
    sa.Column("organisation_id", sa.Text, primary_key=True),
    sa.Column("viewer_id", sa.Text, primary_key=True),
    sa.Column("method", sa.Text, primary_key=True),
    sa.Column("proof_id", sa.Text),
    sa.Column("provider", sa.Text),
    sa.Column("threshold", sa.SmallInteger),
    sa.Column("device_id", sa.Text),
    sa.Column("nonce_hash", sa.LargeBinary),
    sa.Column("prove_time", sa.DateTime(timezone=True)),
    sa.Column("expire_time", sa.DateTime(timezone=True)),
    sa.Column("revoke_time", sa.DateTime(timezone=True)),
)
used: Final = sa.Table(
    "age_used",
    _METADATA,
    sa.Column("digest", sa.LargeBinary, primary_key=True),
    sa.Column("until_time", sa.DateTime(timezone=True)),
)


class State(IntEnum):
    """How a check stands; the numbers are those of the contract."""

    OPEN = 1
    PASSED = 2
    FAILED = 3
    EXPIRED = 4


@dataclass(frozen=True, slots=True)
class Check:
    """A check as it is kept."""

    check_id: str
    organisation_id: str
    viewer_id: str
    device_id: str
    provider: str
    method: str
    threshold: int
    state: State
    failure: str
    nonce_hash: bytes
    sealed: bytes
    return_path: str
    create_time: datetime
    expire_time: datetime

    def at(self, now: datetime) -> Check:
        """As it stands at a moment: an open one whose time is over has expired."""
        over = self.state is State.OPEN and now >= self.expire_time
        return replace(self, state=State.EXPIRED) if over else self

    def decided(self, verdict: Verdict) -> Check:
        """With what came out. Nothing that was needed for it is kept."""
        state = State.PASSED if verdict.passed else State.FAILED
        return replace(self, state=state, failure=verdict.failure, sealed=b"")


@dataclass(frozen=True, slots=True)
class Proof:
    """What a viewer proved by a method. A newer proof by the same method takes its place."""

    organisation_id: str
    viewer_id: str
    method: str
    proof_id: str
    provider: str
    threshold: int
    device_id: str
    nonce_hash: bytes
    prove_time: datetime
    expire_time: datetime
    revoke_time: datetime | None = None


async def add_check(tx: Tx, check: Check) -> None:
    """Keeps a new check."""
    await tx.execute(sa.insert(checks).values(**_check_row(check)))


async def find_check(tx: Tx, check_id: str, *, for_update: bool = False) -> Check | None:
    """A check; None when there is none."""
    query = sa.select(checks).where(checks.c.check_id == check_id)
    row = (await tx.execute(query.with_for_update() if for_update else query)).one_or_none()
    return None if row is None else Check(**{**row._asdict(), "state": State(row.state)})


async def put_check(tx: Tx, check: Check) -> None:
    """Keeps a check that was decided."""
    await tx.execute(sa.update(checks).where(checks.c.check_id == check.check_id).values(**_check_row(check)))


async def put_proof(tx: Tx, proof: Proof) -> None:
    """Keeps a proof, in place of an earlier one by the same method."""
    row = {column.name: getattr(proof, column.name) for column in proofs.c}
    key = [column.name for column in proofs.primary_key]
    await tx.execute(insert(proofs).values(row).on_conflict_do_update(index_elements=key, set_=row))


async def use_once(tx: Tx, digest: bytes, until: datetime) -> bool:
    """Notes that a proof was used. Returns False when it was before."""
    noted = await tx.execute(insert(used).values(digest=digest, until_time=until).on_conflict_do_nothing())
    return bool(noted.rowcount)


async def revoke(tx: Tx, organisation_id: str, viewer_id: str, method: str, now: datetime) -> int:
    """Takes back what a viewer proved, by one method or by all. Returns how many proofs there were to take back."""
    statement = (
        sa.update(proofs)
        .where(
            proofs.c.organisation_id == organisation_id,
            proofs.c.viewer_id == viewer_id,
            proofs.c.revoke_time.is_(None),
        )
        .values(revoke_time=now)
    )
    if method:
        statement = statement.where(proofs.c.method == method)
    return (await tx.execute(statement)).rowcount


async def proofs_page(tx: Tx, organisation_id: str, viewer_id: str, part: Page) -> Sequence[Proof]:
    """One page of an organisation's proofs, newest first, and one more to tell whether there is another page."""
    query = sa.select(proofs).where(proofs.c.organisation_id == organisation_id)
    if viewer_id:
        query = query.where(proofs.c.viewer_id == viewer_id)
    if part.after:
        query = query.where(proofs.c.proof_id < part.after)
    rows = await tx.execute(query.order_by(proofs.c.proof_id.desc()).limit(part.size + 1))
    return [Proof(**row._asdict()) for row in rows]


async def forget(tx: Tx, now: datetime, *, before: datetime) -> None:
    """Removes what nobody will ask for again: checks and proofs that were over before a moment, and notes of proofs that cannot be shown any more."""
    await tx.execute(sa.delete(checks).where(checks.c.expire_time < before))
    await tx.execute(sa.delete(proofs).where(proofs.c.expire_time < before))
    await tx.execute(sa.delete(used).where(used.c.until_time < now))


def _check_row(check: Check) -> dict[str, object]:
    return {column.name: getattr(check, column.name) for column in checks.c}
