"""Records of performers: who is seen in which production, with which papers."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY

revision = "compliance_0003"
down_revision = "compliance_0002"
branch_labels = None
depends_on = None


def _time(name: str, *, nullable: bool = False) -> sa.Column[object]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable)


def _reviewed() -> tuple[sa.Column[object], ...]:
    return (
        sa.Column("state", sa.SmallInteger, nullable=False),
        sa.Column("submitter", sa.Text, nullable=False),
        _time("submit_time"),
        sa.Column("reviewer", sa.Text, nullable=False),
        _time("review_time", nullable=True),
        sa.Column("comment", sa.Text, nullable=False),
    )


def upgrade() -> None:
    """All tables."""
    _performers()
    _productions()
    _beside()


def _performers() -> None:
    op.create_table(
        "performers",
        sa.Column("performer_id", sa.Text, primary_key=True),
        sa.Column("organisation_id", sa.Text, nullable=False),
        # A key of the performer's own, sealed by the service's; names and day of birth, sealed by that.
        sa.Column("sealed_key", sa.LargeBinary, nullable=False),
        sa.Column("sealed", sa.LargeBinary, nullable=False),
        _time("create_time"),
    )
    op.create_index("performers_by_organisation", "performers", ["organisation_id", "performer_id"])
    op.create_table(
        "identity_documents",
        sa.Column("identity_document_id", sa.Text, primary_key=True),
        sa.Column("performer_id", sa.Text, sa.ForeignKey("performers.performer_id"), nullable=False, index=True),
        sa.Column("organisation_id", sa.Text, nullable=False, index=True),
        sa.Column("kind", sa.SmallInteger, nullable=False),
        sa.Column("issuer", sa.Text, nullable=False),
        # The last day on which it is good; absent when it is good for ever.
        sa.Column("expire_date", sa.Date, index=True),
        *_reviewed(),
        # What of its end was announced: nothing, that it is near, that it has come.
        sa.Column("told", sa.SmallInteger, nullable=False),
    )


def _productions() -> None:
    op.create_table(
        "productions",
        sa.Column("production_id", sa.Text, primary_key=True),
        sa.Column("organisation_id", sa.Text, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("title", sa.Text, nullable=False),
        sa.Column("production_date", sa.Date, nullable=False),
        sa.Column("asset_ids", ARRAY(sa.Text), nullable=False),
        sa.Column("performer_ids", ARRAY(sa.Text), nullable=False),
        sa.Column("urls", ARRAY(sa.Text), nullable=False),
        *_reviewed(),
    )
    op.create_index("productions_by_organisation", "productions", ["organisation_id", "production_id"])
    for column in ("asset_ids", "performer_ids"):
        op.create_index(f"productions_by_{column}", "productions", [column], postgresql_using="gin")
    op.create_table(
        "releases",
        sa.Column("release_id", sa.Text, primary_key=True),
        sa.Column("production_id", sa.Text, sa.ForeignKey("productions.production_id"), nullable=False, index=True),
        sa.Column("performer_id", sa.Text, sa.ForeignKey("performers.performer_id"), nullable=False, index=True),
        sa.Column("organisation_id", sa.Text, nullable=False, index=True),
        sa.Column("sign_date", sa.Date, nullable=False),
        sa.Column("expire_date", sa.Date, index=True),
        *_reviewed(),
        _time("withdraw_time", nullable=True),
        # Keyed digest of the token by which the performer takes it back; absent while there is none.
        sa.Column("token_digest", sa.LargeBinary, unique=True),
        sa.Column("told", sa.SmallInteger, nullable=False),
    )


def _beside() -> None:
    op.create_table(
        "record_copies",
        sa.Column("record_id", sa.Text, primary_key=True),
        sa.Column("organisation_id", sa.Text, nullable=False),
        # The copy's own key, sealed by the service's; empty once it was destroyed.
        sa.Column("sealed_key", sa.LargeBinary, nullable=False),
        sa.Column("sha256", sa.Text, nullable=False),
        sa.Column("media_type", sa.Text, nullable=False),
        # Whether a record names it; what none names is swept away.
        sa.Column("named", sa.Boolean, nullable=False),
        _time("create_time"),
    )
    op.create_index("record_copies_to_sweep", "record_copies", ["create_time"], postgresql_where=sa.text("NOT named"))
    op.create_table(
        # Who looked at which paper, the last time.
        "record_openings",
        sa.Column("record_id", sa.Text, primary_key=True),
        sa.Column("actor", sa.Text, primary_key=True),
        _time("open_time"),
    )
    op.create_table(
        "records_settings",
        sa.Column("organisation_id", sa.Text, primary_key=True),
        sa.Column("records_required", sa.Boolean, nullable=False),
        sa.Column("custodian", sa.Text, nullable=False),
        sa.Column("custodian_title", sa.Text, nullable=False),
        sa.Column("street_address", sa.Text, nullable=False),
        # Asset up to which a change of the requirement was applied to those that no production names; absent once it was to all.
        sa.Column("settle_after", sa.Text),
        _time("change_time"),
    )
    op.create_table(
        # Whose assets are whose, as the assets service announces it.
        "recorded_assets",
        sa.Column("asset_id", sa.Text, primary_key=True),
        sa.Column("organisation_id", sa.Text, nullable=False),
        sa.Column("deleted", sa.Boolean, nullable=False),
    )
    op.create_index("recorded_assets_by_organisation", "recorded_assets", ["organisation_id", "asset_id"])
    op.create_table(
        # What was announced last of each asset, and whether a production ever named it.
        "asset_consents",
        sa.Column("asset_id", sa.Text, primary_key=True),
        sa.Column("organisation_id", sa.Text, nullable=False),
        sa.Column("state", sa.SmallInteger, nullable=False),
        sa.Column("named", sa.Boolean, nullable=False),
        _time("change_time"),
    )
