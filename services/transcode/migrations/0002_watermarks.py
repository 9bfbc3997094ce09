"""Films that are watermarked."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "transcode_0002"
down_revision = "transcode_0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """How many colluders a job's watermark is to withstand: none of those before had one."""
    op.add_column("jobs", sa.Column("colluders", sa.SmallInteger, nullable=False, server_default="0"))
