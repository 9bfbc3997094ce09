"""What masters at the gate are for."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "protection_0006"
down_revision = "protection_0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """The number of the upload contract's `UploadPurpose`: nobody said it of those that are there."""
    op.add_column("screenings", sa.Column("purpose", sa.SmallInteger, nullable=False, server_default="0"))
