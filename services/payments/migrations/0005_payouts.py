"""Payees, payouts, invoices, reconciliation, tax rates.

As in the ledger, nothing here is ever changed or removed: what is newer is another row, and the newest counts. The service's role has no right to
do otherwise, and triggers refuse whoever has it.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "payments_0005"
down_revision = "payments_0004"
branch_labels = None
depends_on = None

_KEPT = (
    "payee_versions",
    "bank_accounts",
    "payout_batches",
    "payout_batch_steps",
    "payouts",
    "payout_steps",
    "invoice_issuers",
    "billing_details",
    "invoices",
    "reconciliation_runs",
    "report_lines",
    "reconciliation_cases",
    "reconciliation_marks",
    "tax_rates",
)


def _time(name: str, *, nullable: bool = False) -> sa.Column[object]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable)


def _text(name: str, *, primary_key: bool = False) -> sa.Column[object]:
    return sa.Column(name, sa.Text, nullable=False, primary_key=primary_key)


def upgrade() -> None:
    """All tables, and what guards them."""
    _subjects()
    _payees()
    _payouts()
    _invoices()
    _reconciliation()
    _taxes()
    for table in _KEPT:
        op.execute(
            f"CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {table}"
            " FOR EACH STATEMENT EXECUTE FUNCTION append_only()"
        )
        op.execute(f"REVOKE UPDATE, DELETE, TRUNCATE ON {table} FROM CURRENT_USER")


def _subjects() -> None:
    # What was sold, for reports: it stands in `granted` too, where SQL cannot read it.
    op.add_column("sales", sa.Column("asset_id", sa.Text, nullable=False, server_default=""))
    op.add_column("sales", sa.Column("grant_kind", sa.SmallInteger, nullable=False, server_default="0"))
    op.create_index("entries_by_time", "entries", ["organisation_id", "occur_time"])
    # A payout ends once: it is settled, or void.
    op.create_index(
        "entries_of_payouts",
        "entries",
        ["organisation_id", "kind"],
        postgresql_where=sa.text("kind IN (10, 11, 12, 13)"),
    )


def _payees() -> None:
    op.create_table(
        "payee_versions",
        _text("organisation_id", primary_key=True),
        _text("creator_id", primary_key=True),
        sa.Column("version", sa.BigInteger, primary_key=True),
        _text("account_id"),
        # Currency to minor units.
        sa.Column("minimums", JSONB, nullable=False),
        sa.Column("hold_days", sa.Integer, nullable=False),
        sa.Column("reserve_days", sa.Integer, nullable=False),
        sa.Column("tax_form", sa.SmallInteger, nullable=False),
        _time("tax_form_expire_time", nullable=True),
        sa.Column("suspended", sa.Boolean, nullable=False),
        # Empty when there is none.
        _text("bank_account_id"),
        _text("destination_hint"),
        _text("changer"),
        _time("change_time"),
    )
    op.create_index("payees_by_account", "payee_versions", ["organisation_id", "account_id"])
    op.create_table(
        "bank_accounts",
        _text("bank_account_id", primary_key=True),
        _text("organisation_id"),
        # Empty for the organisation's own.
        _text("creator_id"),
        _text("hint"),
        # Holder, numbers and BIC, sealed for this row.
        sa.Column("sealed", sa.LargeBinary, nullable=False),
        _text("changer"),
        _time("create_time"),
    )
    op.create_index("bank_accounts_of_payers", "bank_accounts", ["organisation_id", "creator_id", "bank_account_id"])


def _payouts() -> None:
    op.create_table(
        "payout_batches",
        _text("payout_batch_id", primary_key=True),
        _text("organisation_id"),
        _text("currency"),
        sa.Column("total", sa.BigInteger, nullable=False),
        sa.Column("payout_count", sa.Integer, nullable=False),
        _time("payable_time"),
        _text("preparer"),
        _time("create_time"),
    )
    op.create_index("batches_by_organisation", "payout_batches", ["organisation_id", sa.text("payout_batch_id DESC")])
    op.create_table(
        "payout_batch_steps",
        _text("payout_batch_id", primary_key=True),
        # One of each state at most, and states only go on.
        sa.Column("state", sa.SmallInteger, primary_key=True, autoincrement=False),
        _text("actor"),
        _text("entry_id"),
        _time("step_time"),
    )
    op.create_index(
        "batches_end_once",
        "payout_batch_steps",
        ["payout_batch_id"],
        unique=True,
        postgresql_where=sa.text("state IN (2, 5)"),
    )
    op.create_table(
        "payouts",
        _text("payout_id", primary_key=True),
        _text("payout_batch_id"),
        _text("organisation_id"),
        _text("creator_id"),
        _text("currency"),
        sa.Column("minor_units", sa.BigInteger, nullable=False),
        _text("bank_account_id"),
        _text("destination_hint"),
        sa.CheckConstraint("minor_units > 0", name="payout_above_zero"),
        sa.UniqueConstraint("payout_batch_id", "creator_id", name="one_payout"),
    )
    op.create_index("payouts_by_organisation", "payouts", ["organisation_id", sa.text("payout_id DESC")])
    op.create_index("payouts_by_creator", "payouts", ["organisation_id", "creator_id", sa.text("payout_id DESC")])
    op.create_table(
        "payout_steps",
        _text("payout_id", primary_key=True),
        sa.Column("state", sa.SmallInteger, primary_key=True, autoincrement=False),
        _text("actor"),
        _text("bank_reference"),
        _text("reason"),
        _text("entry_id"),
        _time("step_time"),
    )
    op.create_index(
        "payouts_end_once", "payout_steps", ["payout_id"], unique=True, postgresql_where=sa.text("state IN (4, 5, 6)")
    )


def _invoices() -> None:
    op.create_table(
        "invoice_issuers",
        _text("organisation_id", primary_key=True),
        sa.Column("version", sa.BigInteger, primary_key=True),
        # Name, address, tax id, footer.
        sa.Column("seller", JSONB, nullable=False),
        _time("change_time"),
    )
    op.create_table(
        "billing_details",
        _text("organisation_id", primary_key=True),
        _text("viewer_id", primary_key=True),
        sa.Column("version", sa.BigInteger, primary_key=True),
        sa.Column("buyer", JSONB, nullable=False),
        _time("change_time"),
    )
    op.create_table(
        "invoices",
        _text("invoice_id", primary_key=True),
        _text("organisation_id"),
        _text("series"),
        sa.Column("year", sa.Integer, nullable=False),
        sa.Column("serial", sa.BigInteger, nullable=False),
        _text("entry_id"),
        _text("sale_id"),
        _text("viewer_id"),
        # All that stands on it, as it was.
        sa.Column("content", JSONB, nullable=False),
        _time("issue_time"),
        sa.UniqueConstraint("organisation_id", "series", "year", "serial", name="one_number"),
        sa.UniqueConstraint("entry_id", name="one_invoice"),
        sa.CheckConstraint("serial > 0", name="from_one"),
    )
    op.create_index("invoices_by_organisation", "invoices", ["organisation_id", sa.text("invoice_id DESC")])
    op.create_index("invoices_by_viewer", "invoices", ["organisation_id", "viewer_id", sa.text("invoice_id DESC")])
    op.create_index("invoices_by_sale", "invoices", ["sale_id"])


def _reconciliation() -> None:
    op.create_table(
        "reconciliation_runs",
        _text("run_id", primary_key=True),
        _text("organisation_id"),
        _text("processor"),
        sa.Column("report_date", sa.Date, nullable=False),
        sa.Column("report_sha256", sa.LargeBinary, nullable=False),
        sa.Column("transactions", sa.Integer, nullable=False),
        _time("run_time"),
    )
    op.create_index(
        "runs_by_date", "reconciliation_runs", ["organisation_id", "processor", "report_date", sa.text("run_id DESC")]
    )
    op.create_table(
        "report_lines",
        _text("run_id", primary_key=True),
        sa.Column("number", sa.Integer, primary_key=True),
        _text("organisation_id"),
        _text("reference"),
        sa.Column("minor_units", sa.BigInteger, nullable=False),
        _text("currency"),
        sa.Column("fee", sa.BigInteger),
    )
    op.create_index("lines_by_reference", "report_lines", ["organisation_id", "reference"])
    op.create_table(
        "reconciliation_cases",
        _text("case_id", primary_key=True),
        _text("organisation_id"),
        _text("processor"),
        sa.Column("report_date", sa.Date, nullable=False),
        sa.Column("difference", sa.SmallInteger, nullable=False),
        _text("reference"),
        _text("ours"),
        _text("theirs"),
        _time("create_time"),
        sa.UniqueConstraint(
            "organisation_id", "report_date", "difference", "reference", "ours", "theirs", name="one_case"
        ),
    )
    op.create_index("cases_by_organisation", "reconciliation_cases", ["organisation_id", sa.text("case_id DESC")])
    op.create_table(
        "reconciliation_marks",
        _text("case_id", primary_key=True),
        sa.Column("number", sa.Integer, primary_key=True),
        sa.Column("state", sa.SmallInteger, nullable=False),
        _text("note"),
        _text("entry_id"),
        _text("actor"),
        _time("mark_time"),
    )


def _taxes() -> None:
    op.create_table(
        "tax_rates",
        _text("rate_id", primary_key=True),
        _text("organisation_id"),
        _text("jurisdiction"),
        _text("name"),
        sa.Column("millionths", sa.Integer, nullable=False),
        sa.Column("inclusive", sa.Boolean, nullable=False),
        _time("start_time"),
        _time("create_time"),
    )
    op.create_index("rates_by_jurisdiction", "tax_rates", ["organisation_id", "jurisdiction", "start_time", "rate_id"])
