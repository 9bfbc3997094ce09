"""First tables."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

from services.kit.database import KIT_TABLES

revision = "assets_0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Assets, and the kit's own tables."""
    KIT_TABLES.create_all(op.get_bind())
    op.create_table(
        "assets",
        sa.Column("asset_id", sa.Text, primary_key=True),
        sa.Column("organisation_id", sa.Text, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("state", sa.SmallInteger, nullable=False),
        sa.Column("update_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("title", sa.Text, nullable=False),
        sa.Column("upload_id", sa.Text, nullable=False),
        sa.Column("filename", sa.Text, nullable=False),
        sa.Column("size_bytes", sa.BigInteger, nullable=False),
        sa.Column("sha256", sa.Text, nullable=False),
        # Absent while only later stages were heard of: events come in any order.
        sa.Column("commit_time", sa.DateTime(timezone=True)),
        sa.Column("probe_time", sa.DateTime(timezone=True)),
        sa.Column("media", JSONB),
        sa.Column("transcode_time", sa.DateTime(timezone=True)),
        sa.Column("failure_stage", sa.SmallInteger),
        sa.Column("failure_reason", sa.Text),
        sa.Column("failure_message", sa.Text),
        sa.Column("failure_time", sa.DateTime(timezone=True)),
        sa.Column("packaging_time", sa.DateTime(timezone=True)),
        sa.Column("package_id", sa.Text, nullable=False),
        sa.Column("publish_time", sa.DateTime(timezone=True)),
        sa.Column("delete_time", sa.DateTime(timezone=True)),
    )
    op.create_index(
        "assets_by_organisation",
        "assets",
        ["organisation_id", sa.text("asset_id DESC")],
        postgresql_where=sa.text("commit_time IS NOT NULL"),
    )
