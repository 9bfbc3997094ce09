"""Subscriptions are found by their entitlements, and listed among those."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "payments_0006"
down_revision = "payments_0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Makes the index."""
    op.create_index(
        "subscriptions_by_entitlement", "subscriptions", ["organisation_id", sa.text("entitlement_id DESC")]
    )
