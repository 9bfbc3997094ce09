"""Plans, subscriptions, and the charges of their periods.

The database itself holds that no period is paid twice: of a subscription one charge at most is under way, and one at most is paid for a period.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

revision = "payments_0004"
down_revision = "payments_0003"
branch_labels = None
depends_on = None


def _time(name: str, *, nullable: bool = False) -> sa.Column[object]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable)


def _deal_and_period() -> list[sa.Column[object]]:
    return [
        sa.Column("plan_id", sa.Text, nullable=False),
        sa.Column("plan_version", sa.Integer, nullable=False),
        sa.Column("tier", sa.Text, nullable=False),
        sa.Column("unit", sa.SmallInteger, nullable=False),
        sa.Column("unit_count", sa.Integer, nullable=False),
        sa.Column("price", sa.BigInteger, nullable=False),
        sa.Column("grace_days", sa.Integer, nullable=False),
        sa.Column("dunning_days", ARRAY(sa.Integer), nullable=False),
        _time("anchor"),
        sa.Column("number", sa.Integer, nullable=False),
        _time("period_start"),
        _time("period_end"),
    ]


def upgrade() -> None:
    """All tables."""
    _plans()
    _subscriptions()
    _charges()
    _checkouts()


def _plans() -> None:
    op.create_table(
        "plans",
        sa.Column("plan_id", sa.Text, primary_key=True),
        sa.Column("organisation_id", sa.Text, nullable=False),
        sa.Column("display_name", sa.Text, nullable=False),
        _time("retire_time", nullable=True),
        _time("create_time"),
    )
    op.create_index("plans_by_organisation", "plans", ["organisation_id", sa.text("plan_id DESC")])
    op.create_table(
        "plan_terms",
        sa.Column("plan_id", sa.Text, sa.ForeignKey("plans.plan_id"), primary_key=True),
        sa.Column("version", sa.Integer, primary_key=True),
        sa.Column("tier", sa.Text, nullable=False),
        sa.Column("unit", sa.SmallInteger, nullable=False),
        sa.Column("unit_count", sa.Integer, nullable=False),
        sa.Column("trial_days", sa.Integer, nullable=False),
        sa.Column("grace_days", sa.Integer, nullable=False),
        sa.Column("dunning_days", ARRAY(sa.Integer), nullable=False),
        # [territory, currency, minor units] each.
        sa.Column("prices", JSONB, nullable=False),
        _time("move_time", nullable=True),
        _time("create_time"),
    )


def _subscriptions() -> None:
    op.create_table(
        "subscriptions",
        sa.Column("subscription_id", sa.Text, primary_key=True),
        sa.Column("organisation_id", sa.Text, nullable=False),
        sa.Column("viewer_id", sa.Text, nullable=False),
        sa.Column("territory", sa.Text, nullable=False),
        sa.Column("currency", sa.Text, nullable=False),
        sa.Column("processor", sa.Text, nullable=False),
        sa.Column("account_id", sa.Text, nullable=False),
        # A token of the processor's, with which only this account can charge.
        sa.Column("payment_method", sa.Text, nullable=False),
        sa.Column("reference", sa.Text, nullable=False),
        sa.Column("checkout_id", sa.Text, nullable=False),
        sa.Column("renews_by_itself", sa.Boolean, nullable=False),
        *_deal_and_period(),
        sa.Column("state", sa.SmallInteger, nullable=False),
        sa.Column("entitlement_id", sa.Text, nullable=False),
        sa.Column("open_charge_id", sa.Text, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        _time("retry_time", nullable=True),
        sa.Column("given_up", sa.Boolean, nullable=False),
        sa.Column("lapsed", sa.Boolean, nullable=False),
        sa.Column("next_plan_id", sa.Text, nullable=False),
        sa.Column("next_version", sa.Integer, nullable=False),
        _time("trial_end", nullable=True),
        sa.Column("end_reason", sa.SmallInteger, nullable=False),
        _time("end_time", nullable=True),
        # What the state makes of all this: when something is to be done about it.
        _time("due_time", nullable=True),
        _time("create_time"),
        _time("change_time"),
        # Changed at every renewal.
        postgresql_with={"fillfactor": "70"},
    )
    _ways_to_subscriptions()


def _ways_to_subscriptions() -> None:
    op.create_index(
        "subscriptions_by_organisation", "subscriptions", ["organisation_id", sa.text("subscription_id DESC")]
    )
    op.create_index(
        "subscriptions_by_viewer", "subscriptions", ["organisation_id", "viewer_id", sa.text("subscription_id DESC")]
    )
    op.create_index(
        "subscriptions_due", "subscriptions", ["due_time"], postgresql_where=sa.text("due_time IS NOT NULL")
    )
    # What ended while a charge was under way may live again when that is approved.
    op.create_index(
        "one_subscription",
        "subscriptions",
        ["organisation_id", "viewer_id"],
        unique=True,
        postgresql_where=sa.text("state <> 6 OR open_charge_id <> ''"),
    )
    op.create_index(
        "subscriptions_by_checkout",
        "subscriptions",
        ["organisation_id", "checkout_id"],
        unique=True,
        postgresql_where=sa.text("checkout_id <> ''"),
    )
    op.create_index(
        "subscriptions_by_payment_method",
        "subscriptions",
        ["organisation_id", "payment_method"],
        postgresql_where=sa.text("open_charge_id <> ''"),
    )
    op.create_index(
        "subscriptions_by_reference",
        "subscriptions",
        ["organisation_id", "processor", "reference"],
        unique=True,
        postgresql_where=sa.text("reference <> ''"),
    )


def _charges() -> None:
    op.create_table(
        "charges",
        sa.Column("charge_id", sa.Text, primary_key=True),
        sa.Column("subscription_id", sa.Text, nullable=False),
        sa.Column("organisation_id", sa.Text, nullable=False),
        sa.Column("processor", sa.Text, nullable=False),
        sa.Column("purpose", sa.SmallInteger, nullable=False),
        sa.Column("minor_units", sa.BigInteger, nullable=False),
        sa.Column("currency", sa.Text, nullable=False),
        *_deal_and_period(),
        sa.Column("attempt", sa.Integer, nullable=False),
        # 1 asked for, 2 approved and not in the books yet, 3 in the books or done, 4 declined, 5 lost: nobody can say.
        sa.Column("state", sa.SmallInteger, nullable=False),
        sa.Column("reference", sa.Text, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("sale_id", sa.Text, nullable=False),
        # When it is to be asked again; absent when it is not.
        _time("ask_time", nullable=True),
        sa.Column("asked", sa.Integer, nullable=False),
        _time("create_time"),
        _time("outcome_time", nullable=True),
        postgresql_with={"fillfactor": "80"},
    )
    op.create_index("charges_by_subscription", "charges", ["subscription_id"])
    op.create_index("charges_to_ask", "charges", ["ask_time"], postgresql_where=sa.text("ask_time IS NOT NULL"))
    op.create_index(
        "one_charge_under_way",
        "charges",
        ["subscription_id"],
        unique=True,
        postgresql_where=sa.text("state IN (1, 2, 5) AND purpose <> 3"),
    )
    op.create_index(
        "one_charge_paid",
        "charges",
        ["subscription_id", "period_start"],
        unique=True,
        postgresql_where=sa.text("state IN (2, 3) AND purpose = 1"),
    )
    op.create_index(
        "charges_by_reference",
        "charges",
        ["organisation_id", "processor", "reference"],
        unique=True,
        postgresql_where=sa.text("reference <> '' AND purpose <> 3"),
    )
    op.create_index("charges_by_sale", "charges", ["sale_id"], postgresql_where=sa.text("sale_id <> ''"))
    op.create_index("charges_unpaid", "charges", ["outcome_time"], postgresql_where=sa.text("state = 4 OR purpose = 3"))


def _checkouts() -> None:
    op.create_table(
        "subscription_checkouts",
        sa.Column("checkout_id", sa.Text, primary_key=True),
        sa.Column("organisation_id", sa.Text, nullable=False),
        sa.Column("viewer_id", sa.Text, nullable=False),
        sa.Column("plan_id", sa.Text, nullable=False),
        sa.Column("territory", sa.Text, nullable=False),
        sa.Column("minor_units", sa.BigInteger, nullable=False),
        sa.Column("currency", sa.Text, nullable=False),
        sa.Column("account_id", sa.Text, nullable=False),
        sa.Column("renews_by_itself", sa.Boolean, nullable=False),
        # Empty until it is paid.
        sa.Column("subscription_id", sa.Text, nullable=False),
        _time("create_time"),
    )
    op.create_index(
        "subscription_checkouts_unpaid",
        "subscription_checkouts",
        ["create_time"],
        postgresql_where=sa.text("subscription_id = ''"),
    )
