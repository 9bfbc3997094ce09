"""How the consent of those who are seen in an asset stands."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "assets_0002"
down_revision = "assets_0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Absent where nothing was ever announced: none is needed."""
    op.add_column("assets", sa.Column("consent", sa.SmallInteger))
    op.add_column("assets", sa.Column("consent_time", sa.DateTime(timezone=True)))
