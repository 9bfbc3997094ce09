"""OAuth clients, authorization requests, devices, consents, and outside providers."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY

revision = "identity_0003"
down_revision = "identity_0002"
branch_labels = None
depends_on = None


def _time(name: str, *, nullable: bool = False) -> sa.Column[object]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable)


def _use() -> list[sa.Column[object]]:
    """How something that works once was used."""
    return [
        _time("use_time", nullable=True),
        # Digest of the request that used it: the same one may come again when its answer was lost.
        sa.Column("use_request", sa.LargeBinary),
        sa.Column("session_id", sa.Text, nullable=False),
    ]


def upgrade() -> None:
    """Adds the tables."""
    _clients()
    _authorizations()
    _devices()
    _providers()
    _sign_ins()
    # When a client is removed, its sessions are.
    op.create_index("sessions_by_client", "sessions", ["client_id"], postgresql_where=sa.text("client_id <> ''"))


def _clients() -> None:
    op.create_table(
        "oauth_clients",
        sa.Column("client_id", sa.Text, primary_key=True),
        sa.Column("organisation_id", sa.Text, nullable=False, index=True),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("display_name", sa.Text, nullable=False),
        sa.Column("redirect_uris", ARRAY(sa.Text), nullable=False),
        # Absent for clients that cannot keep a secret.
        sa.Column("secret_sha256", sa.LargeBinary),
        sa.Column("grants", ARRAY(sa.SmallInteger), nullable=False),
        sa.Column("scopes", ARRAY(sa.Text), nullable=False),
        _time("create_time"),
        _time("use_time", nullable=True),
    )
    op.create_table(
        "oauth_consents",
        sa.Column("account_id", sa.Text, sa.ForeignKey("accounts.account_id"), primary_key=True),
        sa.Column("client_id", sa.Text, primary_key=True),
        sa.Column("scopes", ARRAY(sa.Text), nullable=False),
        _time("grant_time"),
    )


def _authorizations() -> None:
    op.create_table(
        "oauth_authorizations",
        sa.Column("authorization_id", sa.Text, primary_key=True),
        sa.Column("client_id", sa.Text, nullable=False),
        sa.Column("redirect_uri", sa.Text, nullable=False),
        sa.Column("scopes", ARRAY(sa.Text), nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("nonce", sa.Text, nullable=False),
        sa.Column("code_challenge", sa.Text, nullable=False),
        sa.Column("silent", sa.Boolean, nullable=False),
        sa.Column("fresh_sign_in", sa.Boolean, nullable=False),
        sa.Column("fresh_consent", sa.Boolean, nullable=False),
        sa.Column("max_age", sa.Interval),
        sa.Column("login_hint", sa.Text, nullable=False),
        _time("create_time"),
        _time("expire_time"),
        _time("answer_time", nullable=True),
        sa.Column("account_id", sa.Text, nullable=False),
        sa.Column("organisation_id", sa.Text, nullable=False),
        _time("sign_in_time", nullable=True),
        sa.Column("user_agent", sa.Text, nullable=False),
        sa.Column("network", sa.Text, nullable=False),
        sa.Column("code_sha256", sa.LargeBinary, unique=True),
        _time("code_expire_time", nullable=True),
        *_use(),
    )
    op.create_index("oauth_authorizations_by_expiry", "oauth_authorizations", ["expire_time"])


def _devices() -> None:
    op.create_table(
        "oauth_device_authorizations",
        sa.Column("device_authorization_id", sa.Text, primary_key=True),
        sa.Column("device_sha256", sa.LargeBinary, nullable=False, unique=True),
        # Keyed: a code that people type can be guessed from a plain digest.
        sa.Column("user_code_digest", sa.LargeBinary, nullable=False, unique=True),
        sa.Column("client_id", sa.Text, nullable=False),
        sa.Column("scopes", ARRAY(sa.Text), nullable=False),
        sa.Column("user_agent", sa.Text, nullable=False),
        sa.Column("network", sa.Text, nullable=False),
        _time("create_time"),
        _time("expire_time"),
        sa.Column("interval", sa.Interval, nullable=False),
        _time("poll_time", nullable=True),
        sa.Column("finder", sa.Text, nullable=False),
        _time("answer_time", nullable=True),
        sa.Column("approved", sa.Boolean, nullable=False),
        sa.Column("organisation_id", sa.Text, nullable=False),
        _time("sign_in_time", nullable=True),
        *_use(),
    )
    op.create_index("oauth_device_authorizations_by_expiry", "oauth_device_authorizations", ["expire_time"])


def _providers() -> None:
    op.create_table(
        "sso_providers",
        sa.Column("provider_id", sa.Text, primary_key=True),
        sa.Column("organisation_id", sa.Text, nullable=False, index=True),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("display_name", sa.Text, nullable=False),
        sa.Column("issuer", sa.Text, nullable=False),
        sa.Column("client_id", sa.Text, nullable=False),
        sa.Column("sealed_secret", sa.LargeBinary, nullable=False),
        sa.Column("email_domains", ARRAY(sa.Text), nullable=False),
        sa.Column("provisioning", sa.Boolean, nullable=False),
        sa.Column("role_ids", ARRAY(sa.Text), nullable=False),
        _time("create_time"),
    )
    op.create_table(
        "sso_identities",
        sa.Column(
            "provider_id", sa.Text, sa.ForeignKey("sso_providers.provider_id", ondelete="CASCADE"), primary_key=True
        ),
        sa.Column("subject", sa.Text, primary_key=True),
        sa.Column("account_id", sa.Text, sa.ForeignKey("accounts.account_id"), nullable=False),
        sa.Column("email", sa.Text, nullable=False),
        _time("link_time"),
    )
    # A person has one identity at a provider.
    op.create_index("sso_identities_by_account", "sso_identities", ["account_id", "provider_id"], unique=True)


def _sign_ins() -> None:
    op.create_table(
        "sso_sign_ins",
        sa.Column("sign_in_id", sa.Text, primary_key=True),
        sa.Column(
            "provider_id", sa.Text, sa.ForeignKey("sso_providers.provider_id", ondelete="CASCADE"), nullable=False
        ),
        sa.Column("state_sha256", sa.LargeBinary, nullable=False, unique=True),
        # Of the verifier that the page keeps which began it.
        sa.Column("challenge", sa.Text, nullable=False),
        # Account that shall be linked, and by which code; empty and absent for a sign-in.
        sa.Column("link_account_id", sa.Text, nullable=False),
        sa.Column("link_code_sha256", sa.LargeBinary),
        _time("create_time"),
        _time("expire_time"),
        _time("take_time", nullable=True),
        sa.Column("take_request", sa.LargeBinary),
        # Whom the provider vouched for; empty while it did not.
        sa.Column("subject", sa.Text, nullable=False),
        sa.Column("email", sa.Text, nullable=False),
        sa.Column("email_verified", sa.Boolean, nullable=False),
        sa.Column("display_name", sa.Text, nullable=False),
        sa.Column("code_sha256", sa.LargeBinary, unique=True),
        _time("code_expire_time", nullable=True),
        *_use(),
    )
    op.create_index("sso_sign_ins_by_expiry", "sso_sign_ins", ["expire_time"])
    op.create_table(
        "sso_link_codes",
        sa.Column("code_sha256", sa.LargeBinary, primary_key=True),
        sa.Column("provider_id", sa.Text, nullable=False),
        sa.Column("account_id", sa.Text, nullable=False),
        _time("expire_time"),
    )
    op.create_index("sso_link_codes_by_expiry", "sso_link_codes", ["expire_time"])
