"""First tables."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

from services.kit.database import KIT_TABLES

revision = "packaging_0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Packages, the assets that are gone, and the kit's own tables."""
    KIT_TABLES.create_all(op.get_bind())
    op.create_table(
        "packages",
        sa.Column("package_id", sa.Text, primary_key=True),
        sa.Column("asset_id", sa.Text, nullable=False),
        sa.Column("organisation_id", sa.Text, nullable=False),
        sa.Column("job_id", sa.Text, nullable=False, unique=True),
        # The TranscodeCompleted event that it is made from, so that it can be made again.
        sa.Column("source", sa.LargeBinary, nullable=False),
        sa.Column("state", sa.SmallInteger, nullable=False),
        sa.Column("scheme", sa.SmallInteger, nullable=False),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("lease_until", sa.DateTime(timezone=True)),
        sa.Column("ask_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("failures", sa.Integer, nullable=False),
        sa.Column("losses", sa.Integer, nullable=False),
        sa.Column("track_keys", JSONB, nullable=False),
        sa.Column("dash_path", sa.Text, nullable=False),
        sa.Column("hls_path", sa.Text, nullable=False),
        sa.Column("poster_path", sa.Text, nullable=False),
        sa.Column("thumbnails_path", sa.Text, nullable=False),
        sa.Column("duration_seconds", sa.Double, nullable=False),
        sa.Column("size_bytes", sa.BigInteger, nullable=False),
        sa.Column("failure_reason", sa.Text, nullable=False),
        sa.Column("failure_message", sa.Text, nullable=False),
        sa.Column("create_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("start_time", sa.DateTime(timezone=True)),
        sa.Column("publish_time", sa.DateTime(timezone=True)),
        sa.Column("delete_time", sa.DateTime(timezone=True)),
        sa.Column("remove_time", sa.DateTime(timezone=True)),
    )
    op.create_index(
        "packages_by_organisation",
        "packages",
        ["organisation_id", sa.text("package_id DESC")],
        postgresql_where=sa.text("delete_time IS NULL"),
    )
    op.create_index("packages_by_asset", "packages", ["asset_id"])
    op.create_index(
        "packages_to_remove",
        "packages",
        ["delete_time"],
        postgresql_where=sa.text("delete_time IS NOT NULL AND remove_time IS NULL"),
    )
    op.create_index(
        "packages_to_make",
        "packages",
        ["ask_time"],
        postgresql_where=sa.text("state = 1 AND delete_time IS NULL"),
    )
    op.create_table(
        "deleted_assets",
        sa.Column("asset_id", sa.Text, primary_key=True),
        sa.Column("delete_time", sa.DateTime(timezone=True), nullable=False),
    )
