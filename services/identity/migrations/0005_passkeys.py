"""Passkeys."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY

revision = "identity_0005"
down_revision = "identity_0004"
branch_labels = None
depends_on = None


def _time(name: str, *, nullable: bool = False) -> sa.Column[object]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable)


def _account(*, nullable: bool = False, primary_key: bool = False) -> sa.Column[str]:
    key = sa.ForeignKey("accounts.account_id", ondelete="CASCADE")
    return sa.Column("account_id", sa.Text, key, nullable=nullable, primary_key=primary_key)


def upgrade() -> None:
    """Passkeys, questions that devices were asked, handles of people."""
    op.create_table(
        "passkeys",
        sa.Column("passkey_id", sa.Text, primary_key=True),
        _account(),
        sa.Column("credential_id", sa.LargeBinary, nullable=False, unique=True),
        # COSE_Key (RFC 9052 §7).
        sa.Column("public_key", sa.LargeBinary, nullable=False),
        # 32 bits without a sign, which Postgres's integer does not hold.
        sa.Column("sign_count", sa.BigInteger, nullable=False),
        sa.Column("display_name", sa.Text, nullable=False),
        sa.Column("authenticator_model", sa.Text, nullable=False),
        sa.Column("transports", ARRAY(sa.Text), nullable=False),
        sa.Column("backed_up", sa.Boolean, nullable=False),
        _time("create_time"),
        _time("use_time", nullable=True),
    )
    op.create_index("passkeys_by_account", "passkeys", ["account_id", sa.text("passkey_id DESC")])
    op.create_table(
        "passkey_challenges",
        sa.Column("challenge_sha256", sa.LargeBinary, primary_key=True),
        # Absent where somebody wants to sign in: who it is shows with the answer.
        _account(nullable=True),
        _time("expire_time"),
    )
    op.create_index("passkey_challenges_by_expiry", "passkey_challenges", ["expire_time"])
    op.create_table(
        "passkey_users",
        _account(primary_key=True),
        sa.Column("user_handle", sa.LargeBinary, nullable=False, unique=True),
    )
