"""Who began an upload."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "upload_0003"
down_revision = "upload_0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """The name of a principal: of uploads before it is not known."""
    op.add_column("uploads", sa.Column("actor", sa.Text, nullable=False, server_default=""))
