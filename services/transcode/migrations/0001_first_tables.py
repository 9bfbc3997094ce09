"""First tables."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

from services.kit.database import KIT_TABLES

revision = "transcode_0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Jobs and their tasks, the assets that are gone, and the kit's own tables."""
    KIT_TABLES.create_all(op.get_bind())
    op.create_table(
        "jobs",
        sa.Column("job_id", sa.Text, primary_key=True),
        sa.Column("asset_id", sa.Text, nullable=False, unique=True),
        sa.Column("organisation_id", sa.Text, nullable=False),
        sa.Column("object_key", sa.Text, nullable=False),
        sa.Column("state", sa.SmallInteger, nullable=False),
        sa.Column("plan", JSONB),
        sa.Column("renditions", JSONB, nullable=False),
        sa.Column("failure_reason", sa.Text, nullable=False),
        sa.Column("failure_message", sa.Text, nullable=False),
        sa.Column("create_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("end_time", sa.DateTime(timezone=True)),
        sa.Column("delete_time", sa.DateTime(timezone=True)),
        # Whether everything that must not be left of an ended job is removed.
        sa.Column("tidy", sa.Boolean, nullable=False),
    )
    op.create_index("jobs_by_organisation", "jobs", ["organisation_id", sa.text("job_id DESC")])
    op.create_index("jobs_to_tidy", "jobs", ["end_time"], postgresql_where=sa.text("end_time IS NOT NULL AND NOT tidy"))
    op.create_table(
        "tasks",
        sa.Column("task_id", sa.Text, primary_key=True),
        sa.Column("job_id", sa.Text, sa.ForeignKey("jobs.job_id"), nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("position", sa.Integer, nullable=False),
        sa.Column("state", sa.SmallInteger, nullable=False),
        # Seconds of film that it encodes, and how many of them are done; 0 for tasks that do not count towards progress.
        sa.Column("seconds", sa.Double, nullable=False),
        sa.Column("seconds_done", sa.Double, nullable=False),
        sa.Column("result", JSONB),
        sa.Column("attempt", sa.Integer, nullable=False),
        sa.Column("failures", sa.Integer, nullable=False),
        sa.Column("losses", sa.Integer, nullable=False),
        sa.Column("lease_until", sa.DateTime(timezone=True)),
        sa.Column("ask_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("end_time", sa.DateTime(timezone=True)),
        sa.UniqueConstraint("job_id", "kind", "position", name="task_once"),
    )
    op.create_index("tasks_to_do", "tasks", ["ask_time"], postgresql_where=sa.text("state = 1"))
    op.create_table(
        "deleted_assets",
        sa.Column("asset_id", sa.Text, primary_key=True),
        sa.Column("delete_time", sa.DateTime(timezone=True), nullable=False),
    )
