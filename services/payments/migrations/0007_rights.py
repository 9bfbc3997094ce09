"""What people gave to be written on invoices can be erased: the invoices themselves say it for as long as the law asks."""

from __future__ import annotations

from alembic import op

revision = "payments_0007"
down_revision = "payments_0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Rows are still never changed; they may go."""
    op.execute("DROP TRIGGER append_only ON billing_details")
    op.execute(
        "CREATE TRIGGER append_only BEFORE UPDATE OR TRUNCATE ON billing_details"
        " FOR EACH STATEMENT EXECUTE FUNCTION append_only()"
    )
    op.execute("GRANT DELETE ON billing_details TO CURRENT_USER")
