"""Legal holds on assets, as the compliance service announced them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "assets_0004"
down_revision = "assets_0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """None was placed before."""
    op.create_table(
        "holds",
        sa.Column("hold_id", sa.Text, primary_key=True),
        sa.Column("asset_id", sa.Text, nullable=False, index=True),
        # It stays known that it was: events come in any order.
        sa.Column("released", sa.Boolean, nullable=False),
        sa.Column("event_time", sa.DateTime(timezone=True), nullable=False),
    )
