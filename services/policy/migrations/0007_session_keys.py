"""The key of the device that a playback was opened on."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "policy_0007"
down_revision = "policy_0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """A column of its own, which old code leaves empty."""
    op.add_column("playback_sessions", sa.Column("key_thumbprint", sa.Text, nullable=False, server_default=""))
