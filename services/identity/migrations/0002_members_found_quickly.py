"""Members of a large organisation are listed by joining and found by role."""

from __future__ import annotations

from alembic import op

revision = "identity_0002"
down_revision = "identity_0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """The home organisation has everybody who ever registered."""
    op.create_index("memberships_by_joining", "memberships", ["organisation_id", "create_time", "account_id"])
    op.create_index("memberships_by_role", "memberships", ["role_ids"], postgresql_using="gin")
