"""What an upload is for."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "upload_0004"
down_revision = "upload_0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """The number of the contract's `UploadPurpose`: before it, every upload became a title."""
    op.add_column("uploads", sa.Column("purpose", sa.SmallInteger, nullable=False, server_default="1"))
