"""Phones, profiles and devices."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "identity_0004"
down_revision = "identity_0003"
branch_labels = None
depends_on = None


def _time(name: str, *, nullable: bool = False) -> sa.Column[object]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable)


def upgrade() -> None:
    """One account per phone number; profiles; devices, and the sessions on them."""
    op.create_index("accounts_by_phone", "accounts", ["phone"], unique=True, postgresql_where=sa.text("phone <> ''"))
    op.create_table(
        "profiles",
        sa.Column("profile_id", sa.Text, primary_key=True),
        sa.Column("account_id", sa.Text, sa.ForeignKey("accounts.account_id"), nullable=False, index=True),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("display_name", sa.Text, nullable=False),
        sa.Column("avatar_colour", sa.Text, nullable=False),
        sa.Column("maturity_rating", sa.SmallInteger, nullable=False),
        sa.Column("language", sa.Text, nullable=False),
        sa.Column("kids", sa.Boolean, nullable=False),
        # Keyed digest; absent for a profile without a PIN.
        sa.Column("pin_digest", sa.LargeBinary),
        _time("create_time"),
    )
    op.create_index("sessions_by_profile", "sessions", ["profile_id"], postgresql_where=sa.text("profile_id <> ''"))
    op.create_table(
        "devices",
        sa.Column("device_id", sa.Text, primary_key=True),
        sa.Column("account_id", sa.Text, sa.ForeignKey("accounts.account_id"), nullable=False),
        sa.Column("display_name", sa.Text, nullable=False),
        sa.Column("platform", sa.Text, nullable=False),
        sa.Column("model", sa.Text, nullable=False),
        sa.Column("key_thumbprint", sa.Text, nullable=False),
        _time("create_time"),
        _time("use_time"),
        _time("revoke_time", nullable=True),
    )
    op.create_index(
        "devices_by_key",
        "devices",
        ["account_id", "key_thumbprint"],
        unique=True,
        postgresql_where=sa.text("revoke_time IS NULL"),
    )
    op.create_index(
        "devices_by_revocation", "devices", ["revoke_time"], postgresql_where=sa.text("revoke_time IS NOT NULL")
    )
    op.create_index("sessions_by_device", "sessions", ["device_id"], postgresql_where=sa.text("device_id <> ''"))
