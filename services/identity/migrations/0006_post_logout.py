"""Where OAuth clients may have people sent after they signed out."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY

revision = "identity_0006"
down_revision = "identity_0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Clients of before have none. The old code knows nothing of the column."""
    op.add_column(
        "oauth_clients",
        sa.Column("post_logout_redirect_uris", ARRAY(sa.Text), nullable=False, server_default=sa.text("'{}'")),
    )
