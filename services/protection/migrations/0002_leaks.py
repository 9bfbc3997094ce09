"""Leak cases, and notices to other platforms."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "protection_0002"
down_revision = "protection_0001"
branch_labels = None
depends_on = None


def _text(*names: str) -> list[sa.Column[str]]:
    return [sa.Column(name, sa.Text, nullable=False) for name in names]


def _moments(*names: str, nullable: bool = False) -> list[sa.Column[object]]:
    return [sa.Column(name, sa.DateTime(timezone=True), nullable=nullable) for name in names]


def upgrade() -> None:
    """Cases with their evidence, what is proposed and done, strikes, crawlers; notices with what is sent for them."""
    op.create_table(
        "leak_cases",
        sa.Column("case_id", sa.Text, primary_key=True),
        *_text("organisation_id", "title_asset_id", "url", "platform", "reporter", "comment", "explanation"),
        sa.Column("source", sa.SmallInteger, nullable=False),
        sa.Column("state", sa.SmallInteger, nullable=False),
        *_moments("find_time", "create_time"),
        *_moments("close_time", nullable=True),
    )
    op.create_index("leak_cases_of", "leak_cases", ["organisation_id", sa.text("case_id DESC")])
    op.create_table(
        "leak_evidence",
        sa.Column("evidence_id", sa.Text, primary_key=True),
        *_text("case_id", "organisation_id", "filename", "media_type", "sha256", "url", "actor", "detection_id"),
        sa.Column("kind", sa.SmallInteger, nullable=False),
        sa.Column("size_bytes", sa.BigInteger, nullable=False),
        *_moments("capture_time", "preserve_time"),
    )
    op.create_index("leak_evidence_of", "leak_evidence", ["case_id", "evidence_id"])
    op.create_index("leak_evidence_by_detection", "leak_evidence", ["detection_id"])
    _actions()
    op.create_table(
        "leak_crawlers",
        sa.Column("crawler_id", sa.Text, primary_key=True),
        *_text("organisation_id", "display_name"),
        sa.Column("public_key", sa.LargeBinary, nullable=False),
        *_moments("create_time"),
        *_moments("disable_time", nullable=True),
    )
    op.create_index("leak_crawlers_of", "leak_crawlers", ["organisation_id", sa.text("crawler_id DESC")])
    op.create_table(
        "leak_findings",
        sa.Column("crawler_id", sa.Text, primary_key=True),
        sa.Column("finding_id", sa.Text, primary_key=True),
        *_text("case_id"),
        *_moments("create_time"),
    )
    _takedowns()


def _actions() -> None:
    op.create_table(
        "leak_actions",
        sa.Column("action_id", sa.Text, primary_key=True),
        *_text("case_id", "organisation_id", "session_id", "viewer_id", "explanation", "rules", "revocation_id"),
        *_text("appeal_text", "appeal_comment", "appeal_actor"),
        sa.Column("kind", sa.SmallInteger, nullable=False),
        sa.Column("state", sa.SmallInteger, nullable=False),
        sa.Column("strike", sa.SmallInteger, nullable=False),
        sa.Column("false_positive", sa.Double, nullable=False),
        sa.Column("alone_up_to", sa.Double, nullable=False),
        sa.Column("decisions", JSONB, nullable=False),
        sa.Column("appeal_upheld", sa.Boolean, nullable=False),
        *_moments("create_time"),
        *_moments("end_time", "effect_time", "appeal_until", "appeal_time", "appeal_decide_time", nullable=True),
        # One search proposes each thing once, however often it is begun anew.
        sa.UniqueConstraint("case_id", "session_id", "kind"),
    )
    op.create_index("leak_actions_of_a_viewer", "leak_actions", ["viewer_id", sa.text("action_id DESC")])
    op.create_index("leak_actions_of_a_session", "leak_actions", ["session_id"])
    op.create_index(
        "leak_actions_that_end",
        "leak_actions",
        ["end_time"],
        postgresql_where=sa.text("state = 3 AND end_time IS NOT NULL"),
    )
    op.create_table(
        "leak_strikes",
        sa.Column("case_id", sa.Text, primary_key=True),
        sa.Column("viewer_id", sa.Text, primary_key=True),
        *_text("organisation_id"),
        *_moments("create_time", "expire_time"),
    )
    op.create_index("leak_strikes_of", "leak_strikes", ["organisation_id", "viewer_id"])


def _takedowns() -> None:
    op.create_table(
        "takedown_notifiers",
        sa.Column("organisation_id", sa.Text, primary_key=True),
        *_text("rights_holder", "signatory", "capacity", "address", "phone", "email"),
    )
    op.create_table(
        "takedowns",
        sa.Column("takedown_id", sa.Text, primary_key=True),
        *_text("case_id", "organisation_id", "platform", "url", "title_asset_id", "work", "destination", "text"),
        *_text("document_sha256", "signature", "message_id", "failure", "reference"),
        *[sa.Column(name, sa.SmallInteger, nullable=False) for name in ("kind", "carrier", "state", "tries", "checks")],
        sa.Column("reappearances", sa.Integer, nullable=False),
        sa.Column("counter", JSONB),
        sa.Column("steps", JSONB, nullable=False),
        *_moments("create_time"),
        *_moments("next_try_time", "check_time", "remind_time", "due_time", nullable=True),
        *_moments("send_time", "first_remove_time", "remove_time", nullable=True),
    )
    op.create_index("takedowns_of", "takedowns", ["organisation_id", sa.text("takedown_id DESC")])
    op.create_index("takedowns_of_a_case", "takedowns", ["case_id"])
    op.create_index(
        "takedowns_to_send", "takedowns", ["next_try_time"], postgresql_where=sa.text("next_try_time IS NOT NULL")
    )
    op.create_index(
        "takedowns_to_look_at", "takedowns", ["check_time"], postgresql_where=sa.text("check_time IS NOT NULL")
    )
    op.create_table(
        "takedown_reminders",
        sa.Column("message_id", sa.Text, primary_key=True),
        *_text("address"),
        sa.Column("parameters", JSONB, nullable=False),
        sa.Column("tries", sa.SmallInteger, nullable=False),
        *_moments("next_try_time", "expire_time"),
    )
