"""SPCs of FairPlay that were answered, each by a hash."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "drm_0005"
down_revision = "drm_0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """One table. Rows go when their time is over."""
    op.create_table(
        "fairplay_spcs",
        sa.Column("fingerprint", sa.LargeBinary, primary_key=True),
        sa.Column("expire_time", sa.DateTime(timezone=True), nullable=False, index=True),
    )
