"""Organisations whose films may be watched only with complete records; and consents that were taken back, found at once."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "policy_0012"
down_revision = "policy_0011"
branch_labels = None
depends_on = None

_WITHDRAWN = 3


def upgrade() -> None:
    """One table, and an index of few rows for what each look asks for."""
    op.create_table(
        "consent_requirements",
        sa.Column("organisation_id", sa.Text, primary_key=True),
        sa.Column("required", sa.Boolean, nullable=False),
        sa.Column("event_time", sa.DateTime(timezone=True), nullable=False),
    )
    op.create_index("consents_withdrawn", "consents", ["asset_id"], postgresql_where=sa.text(f"state = {_WITHDRAWN}"))
