"""First tables."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "limits_0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Buckets. Unlogged: a crash of Postgres empties them, which forgives what was counted and costs no disk write a call.

    There is no index on `full_at`, so that a change of it stays on its page (HOT); the table is small enough to be read through.
    """
    op.create_table(
        "buckets",
        sa.Column("bucket_key", sa.LargeBinary, primary_key=True),
        sa.Column("full_at", sa.BigInteger, nullable=False),
        sa.Column("refill", sa.BigInteger, nullable=False),
        sa.Column("span", sa.BigInteger, nullable=False),
        sa.Column("granted", sa.BigInteger, nullable=False),
        prefixes=["UNLOGGED"],
        postgresql_with={"fillfactor": "50", "autovacuum_vacuum_scale_factor": "0.05"},
    )
