"""Uses of access tokens that may be used once only."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "policy_0004"
down_revision = "policy_0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """One table."""
    op.create_table(
        "access_token_uses",
        sa.Column("token_sha256", sa.LargeBinary, primary_key=True),
        sa.Column("expire_time", sa.DateTime(timezone=True), nullable=False, index=True),
    )
