"""Licences: policies, issues, offline licences, and how far each journal was drained."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

revision = "drm_0002"
down_revision = "drm_0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Four tables. No key is in any of them."""
    op.create_table(
        "licence_policies",
        sa.Column("position", sa.BigInteger, sa.Identity(always=True), nullable=False, unique=True),
        sa.Column("organisation_id", sa.Text, primary_key=True),
        sa.Column("version", sa.Integer, primary_key=True),
        sa.Column("policy", JSONB, nullable=False),
        sa.Column("author", sa.Text, nullable=False),
        sa.Column("create_time", sa.DateTime(timezone=True), nullable=False),
    )
    op.create_table(
        "licences",
        sa.Column("licence_id", sa.Text, primary_key=True),
        sa.Column("organisation_id", sa.Text, nullable=False),
        sa.Column("session_id", sa.Text, nullable=False, index=True),
        sa.Column("viewer_id", sa.Text, nullable=False),
        sa.Column("device_id", sa.Text, nullable=False),
        sa.Column("package_id", sa.Text, nullable=False),
        sa.Column("key_ids", ARRAY(sa.Text), nullable=False),
        sa.Column("key_system", sa.Text, nullable=False),
        sa.Column("security_level", sa.SmallInteger, nullable=False),
        sa.Column("offline", sa.Boolean, nullable=False),
        sa.Column("policy_version", sa.Integer, nullable=False),
        sa.Column("renewal_of", sa.Text, nullable=False),
        sa.Column("issue_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expire_time", sa.DateTime(timezone=True), nullable=False),
        sa.Index("licences_by_organisation", "organisation_id", sa.text("licence_id DESC")),
        sa.Index(
            "licences_by_viewer",
            "organisation_id",
            "viewer_id",
            sa.text("licence_id DESC"),
            postgresql_where=sa.text("viewer_id <> ''"),
        ),
    )
    op.create_table(
        "offline_licences",
        sa.Column("session_id", sa.Text, primary_key=True),
        sa.Column("package_id", sa.Text, primary_key=True),
        sa.Column("licence_id", sa.Text, nullable=False, unique=True),
        sa.Column("organisation_id", sa.Text, nullable=False),
        sa.Column("viewer_id", sa.Text, nullable=False),
        sa.Column("device_id", sa.Text, nullable=False),
        sa.Column("issue_count", sa.Integer, nullable=False),
        sa.Column("create_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("issue_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expire_time", sa.DateTime(timezone=True), nullable=False, index=True),
        sa.Column("revoke_time", sa.DateTime(timezone=True)),
        sa.Index("offline_licences_by_organisation", "organisation_id", sa.text("licence_id DESC")),
        sa.Index("offline_licences_revoked", "revoke_time", postgresql_where=sa.text("revoke_time IS NOT NULL")),
    )
    op.create_table(
        "licence_journals",
        sa.Column("segment", sa.Text, primary_key=True),
        sa.Column("drained", sa.BigInteger, nullable=False),
        sa.Column("update_time", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
    )
