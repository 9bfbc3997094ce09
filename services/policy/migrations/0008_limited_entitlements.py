"""Entitlements of which the plays are counted, or the time runs from the first play on; and the sessions that are their plays."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "policy_0008"
down_revision = "policy_0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Columns of their own, which old code leaves as they are."""
    op.add_column("entitlements", sa.Column("max_plays", sa.Integer, nullable=False, server_default="0"))
    op.add_column("entitlements", sa.Column("begin_by_time", sa.DateTime(timezone=True)))
    op.add_column("entitlements", sa.Column("watch", sa.Interval))
    op.add_column("entitlements", sa.Column("plays", sa.Integer, nullable=False, server_default="0"))
    op.add_column("entitlements", sa.Column("begin_time", sa.DateTime(timezone=True)))
    op.add_column("playback_sessions", sa.Column("entitlement_id", sa.Text, nullable=False, server_default=""))
