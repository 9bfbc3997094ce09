"""What an asset's file was uploaded for."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "assets_0005"
down_revision = "assets_0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """The number of the upload contract's `UploadPurpose`: before it, every upload became a title."""
    op.add_column("assets", sa.Column("purpose", sa.SmallInteger, nullable=False, server_default="1"))
