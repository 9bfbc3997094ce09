"""Revocations of viewers, devices, assets and keys; the keys that sign tickets."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "policy_0003"
down_revision = "policy_0002"
branch_labels = None
depends_on = None


def _time(name: str, *, nullable: bool = False) -> sa.Column[object]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable)


def upgrade() -> None:
    """New tables."""
    op.create_table(
        "revocations",
        sa.Column("revocation_id", sa.Text, primary_key=True),
        sa.Column("organisation_id", sa.Text, nullable=False),
        sa.Column("target", sa.SmallInteger, nullable=False),
        sa.Column("target_id", sa.Text, nullable=False),
        sa.Column("comment", sa.Text, nullable=False),
        sa.Column("actor", sa.Text, nullable=False),
        _time("create_time"),
        _time("lift_time", nullable=True),
    )
    op.create_index("revocations_by_organisation", "revocations", ["organisation_id", sa.text("revocation_id DESC")])
    op.create_index(
        "revocations_standing",
        "revocations",
        ["organisation_id", "target", "target_id"],
        postgresql_where=sa.text("lift_time IS NULL"),
    )
    op.create_index(
        "sessions_by_device", "playback_sessions", ["device_id"], postgresql_where=sa.text("device_id <> ''")
    )
    op.create_table(
        "ticket_keys",
        sa.Column("key_id", sa.Text, primary_key=True),
        # PKCS #8, sealed under the install's policy key.
        sa.Column("sealed_private_key", sa.LargeBinary, nullable=False),
        _time("create_time"),
        # It is known to edges from its making on, and signs from here on.
        _time("sign_time"),
        # When the last ticket that it signed has expired. Absent for the newest.
        _time("forget_time", nullable=True),
    )
