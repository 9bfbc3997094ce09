"""First tables."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

from services.kit.database import KIT_TABLES

revision = "protection_0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Watermarked titles and the sessions that played them, and the kit's own tables."""
    KIT_TABLES.create_all(op.get_bind())
    op.create_table(
        "titles",
        sa.Column("asset_id", sa.Text, primary_key=True),
        sa.Column("organisation_id", sa.Text, nullable=False),
        sa.Column("colluders", sa.SmallInteger, nullable=False),
        sa.Column("segment_seconds", sa.Double, nullable=False),
        sa.Column("renditions", JSONB, nullable=False),
    )
    op.create_table(
        "sessions",
        sa.Column("session_id", sa.Text, primary_key=True),
        sa.Column("asset_id", sa.Text, nullable=False),
        sa.Column("viewer_id", sa.Text, nullable=False),
        sa.Column("create_time", sa.DateTime(timezone=True), nullable=False),
    )
    op.create_index("sessions_of_a_title", "sessions", ["asset_id", "session_id"])
    op.create_index("sessions_by_age", "sessions", ["create_time"])
