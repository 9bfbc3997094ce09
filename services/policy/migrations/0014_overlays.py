"""What players show over the picture."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "policy_0014"
down_revision = "policy_0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """The table."""
    op.create_table(
        "overlays",
        sa.Column("organisation_id", sa.Text, primary_key=True),
        sa.Column("template", sa.LargeBinary, nullable=False),
        sa.Column("change_time", sa.DateTime(timezone=True), nullable=False),
    )
