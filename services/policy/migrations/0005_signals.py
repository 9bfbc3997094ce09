"""Signs of abuse, the scores made of them, and when people signed in."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "policy_0005"
down_revision = "policy_0004"
branch_labels = None
depends_on = None


def _time(name: str, *, nullable: bool = False) -> sa.Column[object]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable)


def upgrade() -> None:
    """New tables."""
    op.create_table(
        "signals",
        sa.Column("signal_id", sa.Text, primary_key=True),
        sa.Column("organisation_id", sa.Text, nullable=False),
        # The session where the viewer is not known.
        sa.Column("viewer_id", sa.Text, nullable=False),
        sa.Column("session_id", sa.Text, nullable=False),
        sa.Column("kind", sa.SmallInteger, nullable=False),
        sa.Column("weight", sa.SmallInteger, nullable=False),
        sa.Column("explanation", sa.Text, nullable=False),
        sa.Column("facts", JSONB, nullable=False),
        _time("observe_time"),
        _time("clear_time", nullable=True),
    )
    op.create_index("signals_by_organisation", "signals", ["organisation_id", sa.text("signal_id DESC")])
    op.create_index("signals_by_viewer", "signals", ["organisation_id", "viewer_id", sa.text("signal_id DESC")])
    op.create_index("signals_by_session", "signals", ["session_id", sa.text("signal_id DESC")])
    op.create_index("signals_by_time", "signals", ["observe_time"])
    op.create_table(
        "viewer_risks",
        sa.Column("organisation_id", sa.Text, primary_key=True),
        sa.Column("viewer_id", sa.Text, primary_key=True),
        # As it was at `score_time`; half of it is forgotten in `half_life_seconds`.
        sa.Column("score", sa.Float, nullable=False),
        _time("score_time"),
        sa.Column("half_life_seconds", sa.Float, nullable=False),
        _time("warn_time", nullable=True),
        _time("step_up_time", nullable=True),
        _time("throttle_time", nullable=True),
        _time("refuse_time", nullable=True),
        # Until when playbacks are slowed down. Absent when they are not.
        _time("throttle_until", nullable=True),
    )
    op.create_index(
        "risks_throttled",
        "viewer_risks",
        ["throttle_until"],
        postgresql_where=sa.text("throttle_until IS NOT NULL"),
    )
    op.create_table("sign_ins", sa.Column("account_id", sa.Text, primary_key=True), _time("sign_in_time"))
    op.create_index("sign_ins_by_time", "sign_ins", ["sign_in_time"])
