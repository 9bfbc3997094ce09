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
    """Watermarked titles and the sessions that played them, files that came in, detections, and the kit's own tables."""
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
    op.create_table(
        "masters",
        sa.Column("asset_id", sa.Text, primary_key=True),
        sa.Column("organisation_id", sa.Text, nullable=False),
        sa.Column("object_key", sa.Text, nullable=False),
        sa.Column("filename", sa.Text, nullable=False),
    )
    op.create_table(
        "detections",
        sa.Column("detection_id", sa.Text, primary_key=True),
        sa.Column("organisation_id", sa.Text, nullable=False),
        sa.Column("asset_id", sa.Text, nullable=False),
        sa.Column("title_asset_id", sa.Text, nullable=False),
        sa.Column("object_key", sa.Text, nullable=False),
        sa.Column("filename", sa.Text, nullable=False),
        sa.Column("create_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ask_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("state", sa.SmallInteger, nullable=False),
        sa.Column("fraction", sa.Double, nullable=False),
        sa.Column("finding", JSONB, nullable=False),
        sa.Column("failure_reason", sa.Text, nullable=False),
        sa.Column("failure_message", sa.Text, nullable=False),
        sa.Column("end_time", sa.DateTime(timezone=True)),
    )
    op.create_index("detections_of", "detections", ["organisation_id", sa.text("detection_id DESC")])
    op.create_index("detections_to_do", "detections", ["ask_time"], postgresql_where=sa.text("end_time IS NULL"))
    op.create_index("sessions_of_a_title", "sessions", ["asset_id", "session_id"])
    op.create_index("sessions_by_age", "sessions", ["create_time"])
