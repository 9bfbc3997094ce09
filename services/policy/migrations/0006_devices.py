"""Registered devices, and the key of the device that a playback was opened on."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "policy_0006"
down_revision = "policy_0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """A table, and a column of its own for sessions, which old code leaves empty."""
    op.create_table(
        "devices",
        sa.Column("device_id", sa.Text, primary_key=True),
        sa.Column("account_id", sa.Text, nullable=False),
        sa.Column("key_thumbprint", sa.Text, nullable=False),
        sa.Column("revoked", sa.Boolean, nullable=False),
        sa.Column("change_time", sa.DateTime(timezone=True), nullable=False),
        sa.Index("devices_by_key", "account_id", "key_thumbprint"),
    )
    op.add_column("playback_sessions", sa.Column("key_thumbprint", sa.Text, nullable=False, server_default=""))
