"""What is asked for by place, how titles are classified, and proofs of age by their methods."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "policy_0011"
down_revision = "policy_0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Two tables; and a proof for each method in place of one for each viewer."""
    op.create_table(
        "jurisdictions",
        # Empty for the table that is good for all who have none of their own.
        sa.Column("organisation_id", sa.Text, primary_key=True),
        sa.Column("rules", sa.LargeBinary, nullable=False),
        sa.Column("event_time", sa.DateTime(timezone=True), nullable=False),
    )
    op.create_table(
        "classifications",
        sa.Column("asset_id", sa.Text, primary_key=True),
        sa.Column("organisation_id", sa.Text, primary_key=True),
        sa.Column("classification", sa.LargeBinary, nullable=False),
        sa.Column("event_time", sa.DateTime(timezone=True), nullable=False),
    )
    # Method `*`: no proof, but the moment at which all were taken back.
    op.add_column("age_proofs", sa.Column("method", sa.Text, nullable=False, server_default=""))
    op.add_column("age_proofs", sa.Column("device_id", sa.Text, nullable=False, server_default=""))
    op.drop_constraint("age_proofs_pkey", "age_proofs", type_="primary")
    op.create_primary_key("age_proofs_pkey", "age_proofs", ["organisation_id", "viewer_id", "method"])
