"""Whether a film is watermarked."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "upload_0002"
down_revision = "upload_0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """A column which old code leaves at "as the server does where nobody says"."""
    op.add_column("uploads", sa.Column("watermarking", sa.SmallInteger, nullable=False, server_default="0"))
