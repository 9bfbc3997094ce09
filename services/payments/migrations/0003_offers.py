"""Offers, entitlements of their own, promotions.

Entitlements stood in the rows of sales before. They are copied from there; the columns `granted` and `entitle_time` of sales are written no more,
and go with a later migration.
"""

from __future__ import annotations

from datetime import UTC, datetime

import sqlalchemy as sa
from alembic import op
from google.protobuf.timestamp_pb2 import Timestamp
from reelmesh.payments.v1 import payments_pb2
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

revision = "payments_0003"
down_revision = "payments_0002"
branch_labels = None
depends_on = None

_AT_A_TIME = 1000


def _time(name: str, *, nullable: bool = False) -> sa.Column[datetime]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable)


def _text(name: str) -> sa.Column[str]:
    return sa.Column(name, sa.Text, nullable=False)


def upgrade() -> None:
    """All tables, with the entitlements that there are."""
    _offers()
    _entitlements()
    _promotions()
    op.create_table(
        "attempts",
        # Digest of whom the guesses are by.
        sa.Column("key", sa.LargeBinary, primary_key=True),
        sa.Column("failures", sa.Integer, nullable=False),
        _time("blocked_until"),
        _time("forget_time"),
    )
    op.create_index("attempts_by_forgetting", "attempts", ["forget_time"])
    copy_from_sales()


def _offers() -> None:
    op.create_table(
        "offers",
        sa.Column("offer_id", sa.Text, primary_key=True),
        _text("organisation_id"),
        sa.Column("kind", sa.SmallInteger, nullable=False),
        _text("asset_id"),
        # The newest one.
        sa.Column("version", sa.BigInteger, nullable=False),
        _time("create_time"),
        _time("retire_time", nullable=True),
    )
    op.create_index("offers_by_organisation", "offers", ["organisation_id", sa.text("offer_id DESC")])
    op.create_index("offers_by_asset", "offers", ["organisation_id", "asset_id", sa.text("offer_id DESC")])
    op.create_table(
        "offer_versions",
        sa.Column("offer_id", sa.Text, primary_key=True),
        sa.Column("version", sa.BigInteger, primary_key=True),
        _text("title"),
        # Each price as territories, minor units, currency, and whether it is good there only.
        sa.Column("prices", JSONB, nullable=False),
        sa.Column("begin_within", sa.Interval),
        sa.Column("watch", sa.Interval),
        sa.Column("max_plays", sa.Integer, nullable=False),
        sa.Column("territories", ARRAY(sa.Text), nullable=False),
        _time("start_time", nullable=True),
        _time("end_time", nullable=True),
        # Each creator with their weight.
        sa.Column("creators", JSONB, nullable=False),
        _time("update_time"),
    )


def _entitlements() -> None:
    op.create_table(
        "entitlements",
        sa.Column("entitlement_id", sa.Text, primary_key=True),
        _text("organisation_id"),
        _text("viewer_id"),
        _text("buyer_id"),
        _text("asset_id"),
        sa.Column("kind", sa.SmallInteger, nullable=False),
        _time("start_time", nullable=True),
        _time("end_time", nullable=True),
        sa.Column("territories", ARRAY(sa.Text), nullable=False),
        sa.Column("max_plays", sa.Integer, nullable=False),
        _time("begin_by_time", nullable=True),
        sa.Column("watch", sa.Interval),
        _text("sale_id"),
        _text("offer_id"),
        _text("promotion_id"),
        _text("comment"),
        sa.Column("paid", sa.Boolean, nullable=False),
        _time("revoke_time", nullable=True),
        _text("revoke_comment"),
        # As `policy` tells of them.
        sa.Column("plays", sa.Integer, nullable=False),
        _time("begin_time", nullable=True),
        # When it was announced last.
        _time("change_time"),
        _time("create_time"),
    )
    newest_first = sa.text("entitlement_id DESC")
    op.create_index("entitlements_by_organisation", "entitlements", ["organisation_id", newest_first])
    op.create_index("entitlements_by_viewer", "entitlements", ["organisation_id", "viewer_id", newest_first])
    op.create_index("entitlements_by_asset", "entitlements", ["organisation_id", "asset_id", newest_first])


def _promotions() -> None:
    op.create_table(
        "promotions",
        sa.Column("promotion_id", sa.Text, primary_key=True),
        _text("organisation_id"),
        _text("code"),
        _text("asset_id"),
        sa.Column("lasts", sa.Interval),
        sa.Column("max_plays", sa.Integer, nullable=False),
        sa.Column("watch", sa.Interval),
        sa.Column("territories", ARRAY(sa.Text), nullable=False),
        _time("start_time", nullable=True),
        _time("end_time", nullable=True),
        sa.Column("max_uses", sa.Integer, nullable=False),
        sa.Column("uses_per_viewer", sa.Integer, nullable=False),
        _text("comment"),
        sa.Column("uses", sa.Integer, nullable=False),
        _time("stop_time", nullable=True),
        _time("create_time"),
        sa.CheckConstraint("max_uses = 0 OR uses <= max_uses", name="no_more_uses"),
    )
    op.create_index("promotions_by_organisation", "promotions", ["organisation_id", sa.text("promotion_id DESC")])
    op.create_index(
        "one_code",
        "promotions",
        ["organisation_id", "code"],
        unique=True,
        postgresql_where=sa.text("stop_time IS NULL"),
    )
    op.create_table(
        "redemptions",
        sa.Column("entitlement_id", sa.Text, primary_key=True),
        _text("promotion_id"),
        _text("viewer_id"),
        _time("redeem_time"),
    )
    op.create_index("redemptions_by_viewer", "redemptions", ["promotion_id", "viewer_id"])


def copy_from_sales() -> None:
    """What sales granted becomes entitlements."""
    connection = op.get_bind()
    table = sa.Table("entitlements", sa.MetaData(), autoload_with=connection)
    query = sa.text(
        "SELECT sale_id, organisation_id, viewer_id, entitlement_id, granted, entitled, entitle_time, create_time"
        " FROM sales WHERE granted IS NOT NULL AND entitlement_id > :after ORDER BY entitlement_id LIMIT :most"
    )
    after = ""
    while rows := connection.execute(query, {"after": after, "most": _AT_A_TIME}).all():
        connection.execute(sa.insert(table), [_entitlement(row) for row in rows])
        after = rows[-1].entitlement_id


def _entitlement(row: sa.Row[tuple[object, ...]]) -> dict[str, object]:
    grant = payments_pb2.Grant.FromString(row.granted)
    return {
        "entitlement_id": row.entitlement_id,
        "organisation_id": row.organisation_id,
        "viewer_id": row.viewer_id,
        "buyer_id": "",
        "asset_id": grant.asset_id,
        "kind": int(grant.kind),
        "start_time": _moment(grant.start_time) if grant.HasField("start_time") else None,
        "end_time": _moment(grant.end_time) if grant.HasField("end_time") else None,
        "territories": list(grant.territories),
        "max_plays": 0,
        "sale_id": row.sale_id,
        "offer_id": "",
        "promotion_id": "",
        "comment": "",
        "paid": row.entitled,
        "revoke_comment": "",
        "plays": 0,
        "change_time": row.entitle_time or row.create_time,
        "create_time": row.create_time,
    }


def _moment(stamp: Timestamp) -> datetime:
    return stamp.ToDatetime(tzinfo=UTC)
