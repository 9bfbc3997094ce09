"""Proofs of age and the checks that lead to them; tables of jurisdictions and classifications of titles."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "compliance_0002"
down_revision = "compliance_0001"
branch_labels = None
depends_on = None


def _time(name: str, *, nullable: bool = False) -> sa.Column[object]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable)


def upgrade() -> None:
    """All tables of the two."""
    _age()
    _jurisdictions()


def _age() -> None:
    op.create_table(
        "age_checks",
        sa.Column("check_id", sa.Text, primary_key=True),
        sa.Column("organisation_id", sa.Text, nullable=False),
        sa.Column("viewer_id", sa.Text, nullable=False),
        sa.Column("device_id", sa.Text, nullable=False),
        sa.Column("provider", sa.Text, nullable=False),
        sa.Column("method", sa.Text, nullable=False),
        sa.Column("threshold", sa.SmallInteger, nullable=False),
        # What came of it; 1 while it is open. An open one whose time is over has expired.
        sa.Column("state", sa.SmallInteger, nullable=False),
        sa.Column("failure", sa.Text, nullable=False),
        sa.Column("nonce_hash", sa.LargeBinary, nullable=False, unique=True),
        # What the adapter needs; sealed, and empty once it is decided.
        sa.Column("sealed", sa.LargeBinary, nullable=False),
        sa.Column("return_path", sa.Text, nullable=False),
        _time("create_time"),
        _time("expire_time"),
    )
    op.create_index("age_checks_by_time", "age_checks", ["expire_time"])
    op.create_table(
        "age_proofs",
        sa.Column("organisation_id", sa.Text, primary_key=True),
        sa.Column("viewer_id", sa.Text, primary_key=True),
        sa.Column("method", sa.Text, primary_key=True),
        sa.Column("proof_id", sa.Text, nullable=False, unique=True),
        sa.Column("provider", sa.Text, nullable=False),
        sa.Column("threshold", sa.SmallInteger, nullable=False),
        sa.Column("device_id", sa.Text, nullable=False),
        sa.Column("nonce_hash", sa.LargeBinary, nullable=False),
        _time("prove_time"),
        _time("expire_time"),
        _time("revoke_time", nullable=True),
    )
    op.create_index("age_proofs_by_time", "age_proofs", ["expire_time"])
    op.create_table(
        # Proofs that are bound to nobody, each of which counts once.
        "age_used",
        sa.Column("digest", sa.LargeBinary, primary_key=True),
        _time("until_time"),
    )


def _jurisdictions() -> None:
    op.create_table(
        # Version 0, of no organisation, is the table that ships with the software, as it was announced last.
        "jurisdiction_tables",
        sa.Column("organisation_id", sa.Text, primary_key=True),
        sa.Column("version", sa.BigInteger, primary_key=True),
        sa.Column("rules", sa.LargeBinary, nullable=False),
        sa.Column("comment", sa.Text, nullable=False),
        _time("create_time"),
    )
    op.create_table(
        "title_classifications",
        sa.Column("organisation_id", sa.Text, primary_key=True),
        sa.Column("asset_id", sa.Text, primary_key=True),
        sa.Column("version", sa.BigInteger, primary_key=True),
        sa.Column("classification", sa.LargeBinary, nullable=False),
        _time("change_time"),
    )
    op.create_index("title_classifications_by_asset", "title_classifications", ["asset_id"])
