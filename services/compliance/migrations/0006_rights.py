"""Requests of persons about their data, and legal holds.

Who it is about stands here sealed, and as a keyed digest; the seal goes with the last of their data.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY

revision = "compliance_0006"
down_revision = "compliance_0005"
branch_labels = None
depends_on = None


def _time(name: str, *, nullable: bool = False) -> sa.Column[object]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable)


def _text(name: str, *, primary_key: bool = False) -> sa.Column[object]:
    return sa.Column(name, sa.Text, nullable=False, primary_key=primary_key)


def upgrade() -> None:
    """All tables."""
    _requests()
    _beside()
    _holds()


def _requests() -> None:
    op.create_table(
        "rights_requests",
        _text("data_request_id", primary_key=True),
        # Empty for accounts, which the operator sees to.
        _text("organisation_id"),
        sa.Column("subject_digest", sa.LargeBinary, nullable=False),
        # Absent once nothing of the person is left.
        sa.Column("sealed_subject", sa.LargeBinary),
        sa.Column("kind", sa.SmallInteger, nullable=False),
        sa.Column("state", sa.SmallInteger, nullable=False),
        sa.Column("limits", ARRAY(sa.SmallInteger), nullable=False),
        sa.Column("lift", sa.Boolean, nullable=False),
        sa.Column("proof", sa.SmallInteger, nullable=False),
        _text("actor"),
        _text("extend_reason"),
        _text("refuse_reason"),
        sa.Column("round", sa.SmallInteger, nullable=False),
        _time("receive_time"),
        _time("due_time"),
        _time("remind_time"),
        _time("next_time"),
        _time("end_time", nullable=True),
        _time("keep_until", nullable=True),
        # Legal holds.
        sa.Column("waits_for", ARRAY(sa.Text), nullable=False),
        # Keyed digest of the code that was sent; absent where none was.
        sa.Column("code_digest", sa.LargeBinary),
        sa.Column("code_tries", sa.SmallInteger, nullable=False, server_default="0"),
    )
    op.create_index("rights_requests_by_subject", "rights_requests", ["subject_digest", "data_request_id"])
    op.create_index("rights_requests_by_organisation", "rights_requests", ["organisation_id", "data_request_id"])
    op.create_index("rights_requests_to_do", "rights_requests", ["state", "next_time"])


def _beside() -> None:
    op.create_table(
        "rights_receipts",
        sa.Column(
            "data_request_id",
            sa.Text,
            sa.ForeignKey("rights_requests.data_request_id", ondelete="CASCADE"),
            primary_key=True,
        ),
        sa.Column("round", sa.SmallInteger, primary_key=True),
        _text("service", primary_key=True),
        # A `ServiceReceipt`: tables and counts, nothing of what was in them.
        sa.Column("receipt", sa.LargeBinary, nullable=False),
        _time("done_time"),
    )
    op.create_table(
        "rights_limits",
        sa.Column("subject_digest", sa.LargeBinary, primary_key=True),
        sa.Column("limits", ARRAY(sa.SmallInteger), nullable=False),
        _time("change_time"),
    )
    op.create_table(
        "rights_letters",
        _text("message_id", primary_key=True),
        # To whom, which text, and what it is filled with.
        sa.Column("sealed", sa.LargeBinary, nullable=False),
        _time("next_time"),
        _time("expire_time"),
    )


def _holds() -> None:
    op.create_table(
        "legal_holds",
        _text("hold_id", primary_key=True),
        _text("organisation_id"),
        # Absent for a hold on an asset.
        sa.Column("subject_digest", sa.LargeBinary),
        sa.Column("sealed_subject", sa.LargeBinary),
        # Empty for a hold on a person.
        _text("asset_id"),
        _text("ground"),
        _text("actor"),
        _time("place_time"),
        _time("release_time", nullable=True),
        _text("release_reason"),
    )
    standing = sa.text("release_time IS NULL")
    op.create_index("legal_holds_on_subjects", "legal_holds", ["subject_digest"], postgresql_where=standing)
    op.create_index("legal_holds_on_assets", "legal_holds", ["asset_id"], postgresql_where=standing)
    op.create_index("legal_holds_by_organisation", "legal_holds", ["organisation_id", "hold_id"])
