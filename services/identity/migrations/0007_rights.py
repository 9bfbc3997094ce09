"""What may not be done with the data of people who asked for it."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY

revision = "identity_0007"
down_revision = "identity_0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Nobody has asked yet."""
    op.create_table(
        "processing_limits",
        sa.Column("account_id", sa.Text, sa.ForeignKey("accounts.account_id"), primary_key=True),
        # Values of `ProcessingLimit`.
        sa.Column("limits", ARRAY(sa.SmallInteger), nullable=False),
        # Whether the account was locked for it, and not by staff before.
        sa.Column("locked", sa.Boolean, nullable=False),
        sa.Column("change_time", sa.DateTime(timezone=True), nullable=False),
    )
