"""Tiers that viewers are in by what they subscribed to."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "policy_0009"
down_revision = "policy_0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """A table of its own."""
    op.create_table(
        "subscribed_tiers",
        sa.Column("subscription_id", sa.Text, primary_key=True),
        sa.Column("organisation_id", sa.Text, nullable=False),
        sa.Column("viewer_id", sa.Text, nullable=False),
        # Empty when the subscription gives none any more.
        sa.Column("tier", sa.Text, nullable=False),
        sa.Column("end_time", sa.DateTime(timezone=True)),
        sa.Column("event_time", sa.DateTime(timezone=True), nullable=False),
    )
    op.create_index("subscribed_tiers_by_viewer", "subscribed_tiers", ["organisation_id", "viewer_id"])
