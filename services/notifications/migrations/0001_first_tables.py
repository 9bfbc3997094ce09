"""First tables."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from services.kit.database import KIT_TABLES

revision = "notifications_0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Deliveries, and the kit's own tables."""
    KIT_TABLES.create_all(op.get_bind())
    op.create_table(
        "deliveries",
        sa.Column("message_sha256", sa.LargeBinary, primary_key=True),
        sa.Column("claimed_until", sa.DateTime(timezone=True), nullable=False),
        # Absent until a provider took it.
        sa.Column("accept_time", sa.DateTime(timezone=True)),
        sa.Column("closed_reason", sa.Text, nullable=False),
        sa.Column("create_time", sa.DateTime(timezone=True), nullable=False),
    )
    op.create_index("deliveries_by_age", "deliveries", ["create_time"])
