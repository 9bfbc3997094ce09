"""Packages that take the place of others."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "packaging_0002"
down_revision = "packaging_0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """A job has one first package, and each package at most one successor."""
    op.add_column("packages", sa.Column("replaces", sa.Text, nullable=False, server_default=""))
    # The new rule first: until the old one goes, nothing is there that breaks either.
    op.create_unique_constraint("packages_one_successor", "packages", ["job_id", "replaces"])
    op.drop_constraint("packages_job_id_key", "packages", type_="unique")
