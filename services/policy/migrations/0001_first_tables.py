"""First tables."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY

from services.kit.database import KIT_TABLES

revision = "policy_0001"
down_revision = None
branch_labels = None
depends_on = None


def _changed() -> sa.Column[object]:
    """When a row last changed, by the database's clock: by it each replica finds what it has not seen yet."""
    return sa.Column(
        "change_time", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now(), index=True
    )


def upgrade() -> None:
    """What others announced of assets and packages; sessions and codes; and the kit's own tables."""
    KIT_TABLES.create_all(op.get_bind())
    op.create_table(
        "assets",
        sa.Column("asset_id", sa.Text, primary_key=True),
        sa.Column("organisation_id", sa.Text, nullable=False),
        sa.Column("title", sa.Text, nullable=False),
        sa.Column("title_time", sa.DateTime(timezone=True)),
        sa.Column("delete_time", sa.DateTime(timezone=True)),
        _changed(),
    )
    op.create_table(
        "packages",
        sa.Column("package_id", sa.Text, primary_key=True),
        sa.Column("asset_id", sa.Text, nullable=False),
        sa.Column("organisation_id", sa.Text, nullable=False),
        sa.Column("dash_path", sa.Text, nullable=False),
        sa.Column("hls_path", sa.Text, nullable=False),
        sa.Column("poster_path", sa.Text, nullable=False),
        sa.Column("thumbnails_path", sa.Text, nullable=False),
        sa.Column("key_ids", ARRAY(sa.Text), nullable=False),
        sa.Column("publish_time", sa.DateTime(timezone=True), nullable=False),
        _changed(),
    )
    op.create_index("packages_by_asset", "packages", ["asset_id", sa.text("publish_time DESC")])
    op.create_table(
        "playback_sessions",
        sa.Column("session_id", sa.Text, primary_key=True),
        sa.Column("asset_id", sa.Text, nullable=False),
        sa.Column("package_id", sa.Text, nullable=False),
        sa.Column("organisation_id", sa.Text, nullable=False),
        sa.Column("viewer_id", sa.Text, nullable=False),
        sa.Column("create_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expire_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("revoke_time", sa.DateTime(timezone=True)),
        sa.Column("revoke_comment", sa.Text, nullable=False),
        sa.Column("change_time", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
    )
    op.create_index("sessions_by_organisation", "playback_sessions", ["organisation_id", sa.text("session_id DESC")])
    op.create_index("sessions_by_asset", "playback_sessions", ["asset_id", sa.text("session_id DESC")])
    op.create_index(
        "sessions_by_viewer", "playback_sessions", ["organisation_id", "viewer_id", sa.text("session_id DESC")]
    )
    op.create_index(
        "sessions_revoked", "playback_sessions", ["change_time"], postgresql_where=sa.text("revoke_time IS NOT NULL")
    )
    op.create_table(
        "playback_codes",
        sa.Column("code_sha256", sa.LargeBinary, primary_key=True),
        sa.Column("session_id", sa.Text, sa.ForeignKey("playback_sessions.session_id"), nullable=False, index=True),
        sa.Column("expire_time", sa.DateTime(timezone=True), nullable=False, index=True),
        sa.Column("redeem_time", sa.DateTime(timezone=True)),
    )
