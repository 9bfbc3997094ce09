"""What titles are called, so that whoever uploaded one can be told which it is about."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "compliance_0008"
down_revision = "compliance_0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Those of before are named when they are next changed."""
    op.add_column("notice_titles", sa.Column("title", sa.Text, nullable=False, server_default=""))
    op.add_column("notice_titles", sa.Column("title_time", sa.DateTime(timezone=True)))
