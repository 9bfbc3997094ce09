"""What identity announces of devices and profiles."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "policy_0006"
down_revision = "policy_0005"
branch_labels = None
depends_on = None


def _time(name: str) -> sa.Column[object]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=False)


def upgrade() -> None:
    """New tables."""
    op.create_table(
        "devices",
        sa.Column("device_id", sa.Text, primary_key=True),
        sa.Column("account_id", sa.Text, nullable=False),
        sa.Column("revoked", sa.Boolean, nullable=False),
        _time("event_time"),
    )
    op.create_index("devices_revoked", "devices", ["event_time"], postgresql_where=sa.text("revoked"))
    op.create_table(
        "profiles",
        sa.Column("profile_id", sa.Text, primary_key=True),
        sa.Column("account_id", sa.Text, nullable=False),
        # Limit as an age.
        sa.Column("maturity", sa.SmallInteger, nullable=False),
        sa.Column("removed", sa.Boolean, nullable=False),
        _time("event_time"),
    )
    op.create_index("profiles_removed", "profiles", ["event_time"], postgresql_where=sa.text("removed"))
