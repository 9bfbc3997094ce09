"""Titles that cases of notices and of leaks hold."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY

revision = "policy_0013"
down_revision = "policy_0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """What each case says of each title."""
    op.create_table(
        "title_holds",
        sa.Column("asset_id", sa.Text, primary_key=True),
        sa.Column("case_id", sa.Text, primary_key=True),
        sa.Column("organisation_id", sa.Text, nullable=False),
        sa.Column("taken_down", sa.Boolean, nullable=False),
        sa.Column("territories", ARRAY(sa.Text), nullable=False),
        sa.Column("event_time", sa.DateTime(timezone=True), nullable=False),
    )
    op.create_index("titles_taken_down", "title_holds", ["asset_id"], postgresql_where=sa.text("taken_down"))
