"""Notices and what became of them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY

revision = "compliance_0004"
down_revision = "compliance_0003"
branch_labels = None
depends_on = None


def _time(name: str, *, always: bool = False) -> sa.Column[object]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=not always)


def _text(name: str) -> sa.Column[object]:
    return sa.Column(name, sa.Text, nullable=False)


def upgrade() -> None:
    """Cases with what was written in them (sealed), their steps and statements; counts; what is known of titles; letters that wait; desks."""
    _cases()
    _parts_of_cases()
    _surroundings()


def _cases() -> None:
    op.create_table(
        "notice_cases",
        sa.Column("notice_id", sa.Text, primary_key=True),
        *(_text(name) for name in ("organisation_id", "category", "asset_id", "uploader", "language", "rules_date")),
        sa.Column("kind", sa.SmallInteger, nullable=False),
        sa.Column("state", sa.SmallInteger, nullable=False),
        sa.Column("territories", ARRAY(sa.Text), nullable=False),
        sa.Column("standing", sa.SmallInteger, nullable=False),
        sa.Column("action", sa.SmallInteger, nullable=False),
        sa.Column("automated", sa.Boolean, nullable=False),
        _text("explanation"),
        sa.Column("deciders", ARRAY(sa.Text), nullable=False),
        sa.Column("late", sa.Boolean, nullable=False),
        sa.Column("appellant", sa.SmallInteger, nullable=False),
        _time("receive_time", always=True),
        _time("change_time", always=True),
        *(_time(name) for name in ("decide_time", "due_time", "remind_time", "escalate_time")),
        *(_time(name) for name in ("restore_after", "restore_before", "answer_before")),
        # When a term ends next.
        _time("next_time"),
        # When what people wrote is erased; absent while the case is not over, and after it was done.
        _time("erase_time"),
    )
    op.create_index("notices_of", "notice_cases", ["organisation_id", sa.text("notice_id DESC")])
    op.create_index("notices_on", "notice_cases", ["organisation_id", "asset_id"])
    op.create_index("notices_received", "notice_cases", ["organisation_id", "receive_time"])
    op.create_index("notices_next", "notice_cases", ["next_time"], postgresql_where=sa.text("next_time IS NOT NULL"))
    op.create_index(
        "notices_erased", "notice_cases", ["erase_time"], postgresql_where=sa.text("erase_time IS NOT NULL")
    )


def _parts_of_cases() -> None:
    op.create_table(
        "notice_writings",
        sa.Column("notice_id", sa.Text, primary_key=True),
        # `notice`, `counter_notice` or `appeal`.
        sa.Column("part", sa.Text, primary_key=True),
        sa.Column("sealed", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "notice_steps",
        sa.Column("position", sa.BigInteger, sa.Identity(always=True), primary_key=True),
        *(_text(name) for name in ("notice_id", "deed", "actor", "comment")),
        sa.Column("state", sa.SmallInteger, nullable=False),
        _time("step_time", always=True),
    )
    op.create_index("notice_steps_of", "notice_steps", ["notice_id", "position"])
    op.create_table(
        "notice_statements",
        sa.Column("statement_id", sa.Text, primary_key=True),
        *(_text(name) for name in ("notice_id", "organisation_id")),
        sa.Column("statement", sa.LargeBinary, nullable=False),
        _time("create_time", always=True),
    )
    op.create_index("notice_statements_of", "notice_statements", ["notice_id", "statement_id"])
    op.create_table(
        "notice_infringements",
        sa.Column("notice_id", sa.Text, primary_key=True),
        *(_text(name) for name in ("organisation_id", "uploader")),
        _time("count_time", always=True),
    )
    op.create_index("infringements_of", "notice_infringements", ["organisation_id", "uploader", "count_time"])


def _surroundings() -> None:
    op.create_table(
        "notice_titles",
        sa.Column("asset_id", sa.Text, primary_key=True),
        *(_text(name) for name in ("organisation_id", "uploader")),
    )
    op.create_table(
        "notice_packages", sa.Column("package_id", sa.Text, primary_key=True), *(_text(name) for name in ("asset_id",))
    )
    op.create_table(
        "notice_letters",
        sa.Column("message_id", sa.Text, primary_key=True),
        sa.Column("sealed", sa.LargeBinary, nullable=False),
        sa.Column("tries", sa.SmallInteger, nullable=False),
        _time("next_try_time", always=True),
        _time("expire_time", always=True),
    )
    op.create_index("notice_letters_due", "notice_letters", ["next_try_time"])
    op.create_table(
        "notice_desks",
        sa.Column("organisation_id", sa.Text, primary_key=True),
        sa.Column("sealed_email", sa.LargeBinary, nullable=False),
        _text("time_zone"),
        sa.Column("holidays", ARRAY(sa.Date), nullable=False),
        sa.Column("weekend", ARRAY(sa.SmallInteger), nullable=False),
    )
    op.create_table(
        "attempts",
        sa.Column("key", sa.LargeBinary, primary_key=True),
        sa.Column("failures", sa.Integer, nullable=False),
        _time("blocked_until", always=True),
        _time("forget_time", always=True),
        if_not_exists=True,
    )
