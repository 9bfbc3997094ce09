"""First tables."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from services.kit.database import KIT_TABLES

revision = "upload_0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Uploads, and the kit's own tables."""
    KIT_TABLES.create_all(op.get_bind())
    op.create_table(
        "uploads",
        sa.Column("upload_id", sa.Text, primary_key=True),
        sa.Column("asset_id", sa.Text, nullable=False, unique=True),
        sa.Column("organisation_id", sa.Text, nullable=False),
        sa.Column("filename", sa.Text, nullable=False),
        sa.Column("title", sa.Text, nullable=False),
        sa.Column("content_type", sa.Text, nullable=False),
        sa.Column("size_bytes", sa.BigInteger, nullable=False),
        sa.Column("received_bytes", sa.BigInteger, nullable=False, server_default="0"),
        sa.Column("state", sa.SmallInteger, nullable=False),
        sa.Column("sha256", sa.Text, nullable=False),
        sa.Column("create_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expire_time", sa.DateTime(timezone=True)),
        sa.Column("commit_time", sa.DateTime(timezone=True)),
        sa.CheckConstraint("received_bytes BETWEEN 0 AND size_bytes", name="received_within_size"),
    )
    op.create_index("uploads_by_organisation", "uploads", ["organisation_id", sa.text("upload_id DESC")])
    op.create_index(
        "uploads_by_expiry", "uploads", ["expire_time"], postgresql_where=sa.text("expire_time IS NOT NULL")
    )
