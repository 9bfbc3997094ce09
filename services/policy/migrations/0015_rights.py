"""What may not be done with the data of viewers who asked for it."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY

revision = "policy_0015"
down_revision = "policy_0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Nobody has asked yet."""
    op.create_table(
        "processing_limits",
        # Empty for accounts, which are the same person in all organisations.
        sa.Column("organisation_id", sa.Text, primary_key=True),
        sa.Column("viewer_id", sa.Text, primary_key=True),
        # Values of `ProcessingLimit`.
        sa.Column("limits", ARRAY(sa.SmallInteger), nullable=False),
        sa.Column("change_time", sa.DateTime(timezone=True), nullable=False),
    )
