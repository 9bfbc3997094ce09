"""Processor accounts, what processors tell, checkouts, and refunds that are asked of processors."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "payments_0002"
down_revision = "payments_0001"
branch_labels = None
depends_on = None


def _time(name: str, *, nullable: bool = False) -> sa.Column[object]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable)


def upgrade() -> None:
    op.create_table(
        "processor_accounts",
        sa.Column("account_id", sa.Text, primary_key=True),
        sa.Column("organisation_id", sa.Text, nullable=False),
        sa.Column("processor", sa.Text, nullable=False),
        sa.Column("settings", JSONB, nullable=False),
        # JSON of all secrets by name, sealed for this account. Names are kept beside, to be shown.
        sa.Column("secrets", sa.LargeBinary, nullable=False),
        sa.Column("secret_names", JSONB, nullable=False),
        sa.Column("test_mode", sa.Boolean, nullable=False),
        sa.Column("disabled", sa.Boolean, nullable=False),
        # Counts changes, so that whoever keeps accounts in memory sees that one is another.
        sa.Column("version", sa.BigInteger, nullable=False),
        _time("create_time"),
        _time("update_time"),
    )
    op.create_index("processor_accounts_by_organisation", "processor_accounts", ["organisation_id", "account_id"])
    _events()
    _checkouts()


def _events() -> None:
    op.create_table(
        "webhook_events",
        sa.Column("event_id", sa.Text, primary_key=True),
        sa.Column("organisation_id", sa.Text, nullable=False),
        sa.Column("account_id", sa.Text, nullable=False),
        sa.Column("processor", sa.Text, nullable=False),
        sa.Column("dedupe_key", sa.Text, nullable=False),
        sa.Column("kind", sa.SmallInteger, nullable=False),
        # As in the contract: 1 pending, 2 parked, 3 done, 4 dead.
        sa.Column("state", sa.SmallInteger, nullable=False),
        # Everything else that the processor told, in our own terms.
        sa.Column("notice", JSONB, nullable=False),
        # The delivery without what is secret, personal or card-like.
        sa.Column("redacted", sa.LargeBinary, nullable=False),
        # What a parked event waits for: `tx/…` a transaction, `sub/…` a subscription. Empty otherwise.
        sa.Column("waits_for", sa.Text, nullable=False, server_default=""),
        sa.Column("attempts", sa.Integer, nullable=False, server_default="0"),
        sa.Column("trouble", sa.Text, nullable=False, server_default=""),
        # When it is its turn. Absent when it is done or dead.
        _time("due_time", nullable=True),
        _time("receive_time"),
        _time("done_time", nullable=True),
        sa.UniqueConstraint("account_id", "dedupe_key", name="webhook_events_once"),
    )
    op.create_index(
        "webhook_events_due",
        "webhook_events",
        ["due_time", "event_id"],
        postgresql_where=sa.text("due_time IS NOT NULL"),
    )
    op.create_index(
        "webhook_events_waiting", "webhook_events", ["account_id", "waits_for"], postgresql_where=sa.text("state = 2")
    )
    op.create_index("webhook_events_by_organisation", "webhook_events", ["organisation_id", sa.text("event_id DESC")])
    op.create_index("webhook_events_by_state", "webhook_events", ["organisation_id", "state", sa.text("event_id DESC")])


def _checkouts() -> None:
    op.create_table(
        "checkouts",
        sa.Column("checkout_id", sa.Text, primary_key=True),
        sa.Column("organisation_id", sa.Text, nullable=False),
        # Digest of the request that opened it, so that one that was cut off is taken up again.
        sa.Column("request_key", sa.Text, nullable=False),
        sa.Column("viewer_id", sa.Text, nullable=False),
        sa.Column("offer_id", sa.Text, nullable=False),
        sa.Column("offer_version", sa.BigInteger, nullable=False),
        sa.Column("territory", sa.Text, nullable=False),
        sa.Column("asset_id", sa.Text, nullable=False),
        sa.Column("title", sa.Text, nullable=False),
        sa.Column("minor_units", sa.BigInteger, nullable=False),
        sa.Column("currency", sa.Text, nullable=False),
        sa.Column("account_id", sa.Text, nullable=False),
        sa.Column("processor", sa.Text, nullable=False),
        sa.Column("return_path", sa.Text, nullable=False),
        # 1 open, 2 paid, 3 declined, 4 expired.
        sa.Column("state", sa.SmallInteger, nullable=False),
        # The page: {url, method, fields}. Emptied when it is over.
        sa.Column("page", JSONB, nullable=False),
        sa.Column("page_reference", sa.Text, nullable=False),
        sa.Column("sale_id", sa.Text, nullable=False),
        sa.Column("transaction_reference", sa.Text, nullable=False),
        sa.Column("payment_method_reference", sa.Text, nullable=False),
        _time("create_time"),
        _time("expire_time"),
        # When the processor is asked what became of it, unless it tells before. Absent when that is known.
        _time("ask_time", nullable=True),
        _time("pay_time", nullable=True),
    )
    op.create_index("checkouts_by_viewer", "checkouts", ["organisation_id", "viewer_id", sa.text("checkout_id DESC")])
    op.create_index("checkouts_by_request", "checkouts", ["organisation_id", "request_key"], unique=True)
    op.create_index("checkouts_by_sale", "checkouts", ["sale_id"], postgresql_where=sa.text("sale_id <> ''"))
    op.create_index("checkouts_to_ask", "checkouts", ["ask_time"], postgresql_where=sa.text("ask_time IS NOT NULL"))
    op.create_table(
        "checkout_refunds",
        sa.Column("refund_id", sa.Text, primary_key=True),
        sa.Column("organisation_id", sa.Text, nullable=False),
        sa.Column("checkout_id", sa.Text, nullable=False),
        sa.Column("minor_units", sa.BigInteger, nullable=False),
        sa.Column("currency", sa.Text, nullable=False),
        sa.Column("whole", sa.Boolean, nullable=False),
        # 1 pending, 2 made, 3 declined.
        sa.Column("state", sa.SmallInteger, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        _time("due_time", nullable=True),
        _time("create_time"),
    )
    op.create_index("checkout_refunds_by_checkout", "checkout_refunds", ["checkout_id"])
    op.create_index(
        "checkout_refunds_due", "checkout_refunds", ["due_time"], postgresql_where=sa.text("due_time IS NOT NULL")
    )
