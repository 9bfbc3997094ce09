"""Masters on their way through the gate, holds, what is to be reported of them, and hash lists."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB
from typeid import TypeID

revision = "protection_0004"
down_revision = "protection_0003"
branch_labels = None
depends_on = None

_CLEARED = 3


def upgrade() -> None:
    """The tables. What came in before the gate was there is as good as cleared; what came in during the last day may still be on its way, and
    is looked through once more, which begins no second job."""
    _screenings()
    _holds()
    _reports_and_lists()
    op.execute(
        sa.text(
            "INSERT INTO screenings SELECT asset_id, '', organisation_id, object_key, split_part(object_key, '/', 2), 0, filename, '', 0,"
            " now(), now(), :cleared, '[]'::jsonb, '', NULL FROM masters WHERE asset_id < :yesterday"
        ).bindparams(cleared=_CLEARED, yesterday=_first_id_after(datetime.now(UTC) - timedelta(days=1)))
    )


def _screenings() -> None:
    op.create_table(
        "screenings",
        sa.Column("asset_id", sa.Text, primary_key=True),
        sa.Column("upload_id", sa.Text, nullable=False),
        sa.Column("organisation_id", sa.Text, nullable=False),
        sa.Column("object_key", sa.Text, nullable=False),
        sa.Column("sha256", sa.Text, nullable=False),
        sa.Column("size_bytes", sa.BigInteger, nullable=False),
        sa.Column("filename", sa.Text, nullable=False),
        sa.Column("content_type", sa.Text, nullable=False),
        sa.Column("watermarking", sa.SmallInteger, nullable=False),
        sa.Column("create_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ask_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("state", sa.SmallInteger, nullable=False),
        sa.Column("passed", JSONB, nullable=False),
        sa.Column("delayed_by", sa.Text, nullable=False),
        sa.Column("delay_time", sa.DateTime(timezone=True)),
    )
    op.create_index("screenings_to_do", "screenings", ["ask_time"], postgresql_where=sa.text("state = 1"))
    op.create_index("screenings_of_a_file", "screenings", ["sha256"])


def _holds() -> None:
    op.create_table(
        "holds",
        sa.Column("hold_id", sa.Text, primary_key=True),
        sa.Column("asset_id", sa.Text, nullable=False),
        sa.Column("organisation_id", sa.Text, nullable=False),
        sa.Column("upload_id", sa.Text, nullable=False),
        sa.Column("filename", sa.Text, nullable=False),
        sa.Column("sha256", sa.Text, nullable=False),
        sa.Column("size_bytes", sa.BigInteger, nullable=False),
        sa.Column("ground", sa.SmallInteger, nullable=False),
        sa.Column("finding", JSONB, nullable=False),
        sa.Column("create_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ask_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("state", sa.SmallInteger, nullable=False),
        sa.Column("reviews", JSONB, nullable=False),
        sa.Column("sealed_sha256", sa.Text, nullable=False),
        sa.Column("preserve_time", sa.DateTime(timezone=True)),
        sa.Column("decide_time", sa.DateTime(timezone=True)),
        sa.Column("report_time", sa.DateTime(timezone=True)),
        sa.Column("destroy_time", sa.DateTime(timezone=True)),
    )
    op.create_index("holds_of", "holds", ["organisation_id", sa.text("hold_id DESC")])
    op.create_index("holds_of_an_asset", "holds", ["asset_id"])
    op.create_index("holds_of_a_file", "holds", ["sha256"])
    op.create_index("holds_to_preserve", "holds", ["ask_time"], postgresql_where=sa.text("preserve_time IS NULL"))
    op.create_index("holds_to_destroy", "holds", ["decide_time"], postgresql_where=sa.text("destroy_time IS NULL"))


def _reports_and_lists() -> None:
    op.create_table(
        "hold_reports",
        sa.Column("report_id", sa.Text, primary_key=True),
        sa.Column("hold_id", sa.Text, nullable=False),
        sa.Column("body", sa.Text, nullable=False),
        sa.Column("create_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ask_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
    )
    op.create_index("hold_reports_to_do", "hold_reports", ["ask_time"])
    op.create_table(
        "hash_lists",
        sa.Column("list_name", sa.Text, primary_key=True),
        sa.Column("entry_count", sa.BigInteger, nullable=False),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.Column("update_time", sa.DateTime(timezone=True), nullable=False),
    )
    op.create_table(
        "hash_entries",
        sa.Column("list_name", sa.Text, primary_key=True),
        sa.Column("pdq", sa.LargeBinary, primary_key=True),
        sa.Column("note", sa.Text, nullable=False),
    )
    op.execute(sa.text("CREATE SEQUENCE hash_list_versions"))


def _first_id_after(moment: datetime) -> str:
    """The asset's id that sorts before all that are made from then on: a UUIDv7 begins with its milliseconds (RFC 9562)."""
    return str(TypeID.from_uuid(UUID(int=int(moment.timestamp() * 1000) << 80 | 7 << 76 | 2 << 62), prefix="ast"))
