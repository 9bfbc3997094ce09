"""What the checks of a master say."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "assets_0003"
down_revision = "assets_0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """When a master waited, was held, and was cleared; unknown of those from before there were checks."""
    for name in ("delay_time", "hold_time", "clear_time"):
        op.add_column("assets", sa.Column(name, sa.DateTime(timezone=True)))
