"""When assets were deleted: what is kept of who is seen in them is kept for some years from then."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "compliance_0007"
down_revision = "compliance_0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Of those that were deleted before, the years begin now: when it was is not known."""
    op.add_column("recorded_assets", sa.Column("delete_time", sa.DateTime(timezone=True)))
    op.execute("UPDATE recorded_assets SET delete_time = now() WHERE deleted")
