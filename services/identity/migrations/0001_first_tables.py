"""First tables."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY

from services.kit.database import KIT_TABLES

revision = "identity_0001"
down_revision = None
branch_labels = None
depends_on = None


def _time(name: str, *, nullable: bool = False) -> sa.Column[object]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable)


def upgrade() -> None:
    """Accounts, sessions, organisations, roles, API keys, signing keys, codes, messages, guesses; and the kit's own tables."""
    KIT_TABLES.create_all(op.get_bind())
    _people()
    _organisations()
    _trust()
    _secrets_on_their_way()


def _people() -> None:
    op.create_table(
        "accounts",
        sa.Column("account_id", sa.Text, primary_key=True),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("email", sa.Text, nullable=False, unique=True),
        # Absent for people who only come by an outside provider or by passkey.
        sa.Column("password_hash", sa.Text),
        sa.Column("display_name", sa.Text, nullable=False),
        sa.Column("phone", sa.Text, nullable=False),
        sa.Column("language", sa.Text, nullable=False),
        sa.Column("tier", sa.Text, nullable=False),
        _time("create_time"),
        _time("lock_time", nullable=True),
    )
    op.create_table(
        "sessions",
        sa.Column("session_id", sa.Text, primary_key=True),
        sa.Column("account_id", sa.Text, sa.ForeignKey("accounts.account_id"), nullable=False),
        sa.Column("organisation_id", sa.Text, nullable=False),
        sa.Column("method", sa.SmallInteger, nullable=False),
        sa.Column("client_id", sa.Text, nullable=False),
        # Permissions that an OAuth client was granted, at most; absent for sessions with all that the person has.
        sa.Column("scope", ARRAY(sa.Text)),
        sa.Column("device_id", sa.Text, nullable=False),
        # Thumbprint (RFC 7638) of the key that the session's tokens are bound to; empty for bearer tokens.
        sa.Column("key_thumbprint", sa.Text, nullable=False),
        sa.Column("profile_id", sa.Text, nullable=False),
        sa.Column("user_agent", sa.Text, nullable=False),
        sa.Column("network", sa.Text, nullable=False),
        _time("create_time"),
        _time("refresh_time"),
        _time("expire_time"),
        _time("end_time", nullable=True),
    )
    op.create_index("sessions_by_account", "sessions", ["account_id", sa.text("session_id DESC")])
    op.create_index("sessions_by_expiry", "sessions", ["expire_time"])
    op.create_table(
        "refresh_tokens",
        sa.Column("token_sha256", sa.LargeBinary, primary_key=True),
        sa.Column(
            "session_id", sa.Text, sa.ForeignKey("sessions.session_id", ondelete="CASCADE"), nullable=False, index=True
        ),
        _time("expire_time"),
        _time("use_time", nullable=True),
        # Digest of the `request_id` that it was used by: the same request may come again when its answer was lost.
        sa.Column("use_request", sa.LargeBinary),
        # The token that it was exchanged for.
        sa.Column("successor_sha256", sa.LargeBinary),
    )


def _organisations() -> None:
    op.create_table(
        "organisations",
        sa.Column("organisation_id", sa.Text, primary_key=True),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("display_name", sa.Text, nullable=False),
        sa.Column("tier", sa.Text, nullable=False),
        _time("create_time"),
    )
    op.create_table(
        "memberships",
        sa.Column("organisation_id", sa.Text, sa.ForeignKey("organisations.organisation_id"), primary_key=True),
        sa.Column("account_id", sa.Text, sa.ForeignKey("accounts.account_id"), primary_key=True, index=True),
        sa.Column("role_ids", ARRAY(sa.Text), nullable=False),
        _time("create_time"),
    )
    op.create_table(
        "roles",
        sa.Column("role_id", sa.Text, primary_key=True),
        sa.Column(
            "organisation_id", sa.Text, sa.ForeignKey("organisations.organisation_id"), nullable=False, index=True
        ),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("display_name", sa.Text, nullable=False),
        sa.Column("permissions", ARRAY(sa.Text), nullable=False),
    )
    op.create_table(
        "api_keys",
        sa.Column("key_id", sa.Text, primary_key=True),
        sa.Column(
            "organisation_id", sa.Text, sa.ForeignKey("organisations.organisation_id"), nullable=False, index=True
        ),
        sa.Column("key_sha256", sa.LargeBinary, nullable=False, unique=True),
        sa.Column("prefix", sa.Text, nullable=False),
        sa.Column("display_name", sa.Text, nullable=False),
        sa.Column("permissions", ARRAY(sa.Text), nullable=False),
        _time("create_time"),
        _time("expire_time", nullable=True),
        _time("use_time", nullable=True),
        _time("revoke_time", nullable=True),
    )


def _trust() -> None:
    op.create_table(
        "signing_keys",
        sa.Column("key_id", sa.Text, primary_key=True),
        sa.Column("sealed_private_key", sa.LargeBinary, nullable=False),
        sa.Column("public_key", sa.LargeBinary, nullable=False),
        _time("create_time"),
        # It is published from its making on, and signs from here on.
        _time("sign_from"),
        # Absent for the newest.
        _time("verify_until", nullable=True),
    )
    op.create_table(
        "revocations",
        sa.Column("subject", sa.Text, primary_key=True),
        _time("not_before"),
        _time("forget_time"),
        # By the database's clock: by it each replica finds what it has not seen yet.
        sa.Column("change_time", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now(), index=True),
    )


def _secrets_on_their_way() -> None:
    op.create_table(
        "codes",
        sa.Column("code_id", sa.Text, primary_key=True),
        sa.Column("digest", sa.LargeBinary, nullable=False),
        sa.Column("tries", sa.SmallInteger, nullable=False),
        # What the code is for, sealed. Absent for a code that leads nowhere and must not be told from one that does.
        sa.Column("sealed_purpose", sa.LargeBinary),
        _time("expire_time"),
        _time("use_time", nullable=True),
    )
    op.create_index("codes_by_expiry", "codes", ["expire_time"])
    op.create_table(
        "messages",
        sa.Column("message_id", sa.Text, primary_key=True),
        # To whom and what, sealed: it may hold a code.
        sa.Column("sealed", sa.LargeBinary, nullable=False),
        sa.Column("tries", sa.SmallInteger, nullable=False),
        _time("next_try_time"),
        _time("expire_time"),
    )
    op.create_index("messages_by_try", "messages", ["next_try_time"])
    op.create_table(
        "attempts",
        # Keyed digest of whom or where the guesses are about.
        sa.Column("key", sa.LargeBinary, primary_key=True),
        sa.Column("failures", sa.Integer, nullable=False),
        _time("blocked_until"),
        _time("forget_time"),
    )
    op.create_index("attempts_by_forgetting", "attempts", ["forget_time"])
