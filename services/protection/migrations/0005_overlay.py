"""Overlays and review copies."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "protection_0005"
down_revision = "protection_0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """The tables."""
    op.create_table(
        "overlays",
        sa.Column("organisation_id", sa.Text, primary_key=True),
        sa.Column("enabled", sa.Boolean, nullable=False),
        sa.Column("text", sa.Text, nullable=False),
        sa.Column("opacity", sa.Double, nullable=False),
        sa.Column("size", sa.Double, nullable=False),
        sa.Column("motion", sa.SmallInteger, nullable=False),
        sa.Column("seconds", sa.Double, nullable=False),
        sa.Column("contrast_aware", sa.Boolean, nullable=False),
    )
    op.create_table(
        "review_copies",
        sa.Column("review_copy_id", sa.Text, primary_key=True),
        sa.Column("organisation_id", sa.Text, nullable=False),
        sa.Column("asset_id", sa.Text, nullable=False),
        sa.Column("recipient", sa.Text, nullable=False),
        sa.Column("object_key", sa.Text, nullable=False),
        sa.Column("create_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ask_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("state", sa.SmallInteger, nullable=False),
        sa.Column("fraction", sa.Double, nullable=False),
        sa.Column("size_bytes", sa.BigInteger, nullable=False),
        sa.Column("sha256", sa.Text, nullable=False),
        sa.Column("failure_message", sa.Text, nullable=False),
        sa.Column("end_time", sa.DateTime(timezone=True)),
        sa.Column("expire_time", sa.DateTime(timezone=True)),
    )
    op.create_index("review_copies_to_do", "review_copies", ["ask_time"], postgresql_where=sa.text("end_time IS NULL"))
    op.create_index("review_copies_by_end", "review_copies", ["end_time"])
