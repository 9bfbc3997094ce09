"""Terms, facts about viewers, rules, decisions; and what a session remembers of them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

revision = "policy_0002"
down_revision = "policy_0001"
branch_labels = None
depends_on = None


def _time(name: str, *, nullable: bool = False) -> sa.Column[object]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable)


def _changed() -> sa.Column[object]:
    """When a row last changed, by the database's clock: by it each replica finds what it has not seen yet."""
    return sa.Column(
        "change_time", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now(), index=True
    )


def upgrade() -> None:
    """New tables, and columns with defaults, so that an older process goes on while a newer one starts."""
    _facts()
    _rules()
    _decisions()
    op.create_table(
        "reviews",
        sa.Column("kind", sa.Text, primary_key=True),
        sa.Column("target_id", sa.Text, primary_key=True),
        sa.Column("organisation_id", sa.Text, primary_key=True),
        # From when on: a right may end later than it was told of.
        sa.Column("due_time", sa.DateTime(timezone=True), primary_key=True),
        # How far it has come: sessions up to this one are done.
        sa.Column("after_session_id", sa.Text, nullable=False),
    )
    for name in ("device_id", "profile_id", "territory"):
        op.add_column("playback_sessions", sa.Column(name, sa.Text, nullable=False, server_default=""))
    op.add_column("playback_sessions", sa.Column("download", sa.Boolean, nullable=False, server_default=sa.false()))
    # The last sign of life. Absent for sessions that nobody counts: those of before, and downloads.
    op.add_column("playback_sessions", _time("beat_time", nullable=True))
    # When it lost its place to another stream of the viewer. Absent unless it has.
    op.add_column("playback_sessions", _time("displace_time", nullable=True))
    op.create_index(
        "sessions_displaced",
        "playback_sessions",
        ["change_time"],
        postgresql_where=sa.text("displace_time IS NOT NULL"),
    )


def _facts() -> None:
    op.create_table(
        "terms",
        sa.Column("asset_id", sa.Text, primary_key=True),
        sa.Column("organisation_id", sa.Text, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("terms", JSONB, nullable=False),
    )
    op.create_table(
        "accounts",
        sa.Column("account_id", sa.Text, primary_key=True),
        sa.Column("tier", sa.Text, nullable=False),
        sa.Column("locked", sa.Boolean, nullable=False),
        _time("event_time"),
    )
    op.create_table(
        "entitlements",
        sa.Column("entitlement_id", sa.Text, primary_key=True),
        sa.Column("organisation_id", sa.Text, nullable=False),
        sa.Column("viewer_id", sa.Text, nullable=False),
        sa.Column("asset_id", sa.Text, nullable=False),
        _time("start_time", nullable=True),
        _time("end_time", nullable=True),
        sa.Column("territories", ARRAY(sa.Text), nullable=False),
        sa.Column("revoked", sa.Boolean, nullable=False),
        _time("event_time"),
    )
    op.create_index("entitlements_by_viewer", "entitlements", ["organisation_id", "viewer_id"])
    op.create_table(
        "age_proofs",
        sa.Column("organisation_id", sa.Text, primary_key=True),
        sa.Column("viewer_id", sa.Text, primary_key=True),
        sa.Column("threshold", sa.SmallInteger, nullable=False),
        _time("expire_time"),
        _time("event_time"),
    )
    op.create_table(
        "consents",
        sa.Column("asset_id", sa.Text, primary_key=True),
        sa.Column("organisation_id", sa.Text, nullable=False),
        sa.Column("state", sa.SmallInteger, nullable=False),
        _time("event_time"),
    )


def _rules() -> None:
    op.create_table(
        "rule_sets",
        sa.Column("organisation_id", sa.Text, primary_key=True),
        sa.Column("version", sa.BigInteger, primary_key=True),
        sa.Column("rules", sa.LargeBinary, nullable=False),
        sa.Column("comment", sa.Text, nullable=False),
        _time("create_time"),
        _time("activate_time", nullable=True),
    )
    op.create_table(
        "active_rule_sets",
        sa.Column("organisation_id", sa.Text, primary_key=True),
        sa.Column("version", sa.BigInteger, nullable=False),
        _changed(),
    )


def _decisions() -> None:
    op.create_table(
        "decisions",
        sa.Column("decision_id", sa.Text, primary_key=True),
        sa.Column("organisation_id", sa.Text, nullable=False),
        sa.Column("kind", sa.SmallInteger, nullable=False),
        sa.Column("allowed", sa.Boolean, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("lifted_by", sa.Text, nullable=False),
        sa.Column("rule_set_version", sa.BigInteger, nullable=False),
        sa.Column("asset_id", sa.Text, nullable=False),
        sa.Column("session_id", sa.Text, nullable=False),
        sa.Column("viewer_id", sa.Text, nullable=False),
        sa.Column("correlation_id", sa.Text, nullable=False),
        _time("decide_time"),
        # Everything that was known, so that other rules can be tried on it. It may hold an address: kept for 30 days, and never shown.
        sa.Column("facts", JSONB, nullable=False),
        sa.Column("results", JSONB, nullable=False),
    )
    op.create_index("decisions_by_organisation", "decisions", ["organisation_id", sa.text("decision_id DESC")])
    op.create_index("decisions_by_session", "decisions", ["session_id", sa.text("decision_id DESC")])
    op.create_index("decisions_by_correlation", "decisions", ["correlation_id"])
    op.create_index("decisions_by_time", "decisions", ["decide_time"])
