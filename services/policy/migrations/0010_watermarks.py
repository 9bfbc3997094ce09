"""Packages that are watermarked."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "policy_0010"
down_revision = "policy_0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """For how many colluders, and how many segments a picture has: none of those before were."""
    op.add_column("packages", sa.Column("watermark_colluders", sa.SmallInteger, nullable=False, server_default="0"))
    op.add_column("packages", sa.Column("watermark_segments", sa.Integer, nullable=False, server_default="0"))
