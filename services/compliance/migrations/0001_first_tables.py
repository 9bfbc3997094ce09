"""The first tables of the compliance service: the audit log.

Leaves, roots of tiles and checkpoints are only ever added: the service's role has revoked from itself the right to change them, and triggers refuse whoever
has it. Nobody is kept from changing rows who can switch triggers off; that they did is what `reelmesh audit verify` finds.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY

from services.kit.database import KIT_TABLES

revision = "compliance_0001"
down_revision = None
branch_labels = None
depends_on = None

_APPEND_ONLY = """
CREATE FUNCTION log_append_only() RETURNS trigger LANGUAGE plpgsql SET search_path = compliance, pg_temp AS $$
BEGIN
  RAISE EXCEPTION 'the audit log is append-only: % of % is refused', TG_OP, TG_TABLE_NAME USING ERRCODE = 'RML04';
END $$
"""


def _time(name: str, *, nullable: bool = False) -> sa.Column[object]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable)


def upgrade() -> None:
    """All tables, and the kit's own."""
    KIT_TABLES.create_all(op.get_bind())
    _tree()
    _contents()
    _beside()
    _guards()


def _tree() -> None:
    op.create_table(
        "log_leaves",
        sa.Column("leaf_index", sa.BigInteger, primary_key=True),
        sa.Column("event_id", sa.Text, nullable=False, unique=True),
        sa.Column("event_type", sa.Text, nullable=False),
        sa.Column("organisation_id", sa.Text, nullable=False),
        sa.Column("leaf_hash", sa.LargeBinary, nullable=False),
        sa.Column("record", sa.LargeBinary, nullable=False),
        sa.CheckConstraint("length(leaf_hash) = 32", name="one_hash"),
    )
    op.create_index("log_leaves_by_organisation", "log_leaves", ["organisation_id", "leaf_index"])
    op.create_table(
        # Roots of full tiles. Those of level 0 are over 256 leaves, those of the next over 256 of these, and so on.
        "log_tiles",
        sa.Column("level", sa.SmallInteger, primary_key=True),
        sa.Column("tile_index", sa.BigInteger, primary_key=True),
        sa.Column("root", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "log_checkpoints",
        sa.Column("tree_size", sa.BigInteger, primary_key=True),
        sa.Column("root", sa.LargeBinary, nullable=False),
        sa.Column("note", sa.Text, nullable=False),
        _time("sign_time"),
    )
    op.create_table(
        # One row: how far the log has come.
        "log_head",
        sa.Column("single", sa.Boolean, primary_key=True),
        sa.Column("origin", sa.Text, nullable=False),
        sa.Column("tree_size", sa.BigInteger, nullable=False),
        # Roots of the perfect subtrees that the tree consists of, largest first.
        sa.Column("frontier", sa.LargeBinary, nullable=False),
        # The stream that was read, by when it was made, and the last message of it that was.
        sa.Column("stream", sa.Text, nullable=False),
        sa.Column("sequence", sa.BigInteger, nullable=False),
        sa.CheckConstraint("single", name="one_row"),
    )


def _contents() -> None:
    op.create_table(
        "log_subject_keys",
        sa.Column("key_id", sa.BigInteger, sa.Identity(always=True), primary_key=True),
        # Keyed digest of who it is.
        sa.Column("subject_digest", sa.LargeBinary, nullable=False, unique=True),
        sa.Column("sealed_key", sa.LargeBinary, nullable=False),
        _time("create_time"),
    )
    op.create_table(
        "log_contents",
        sa.Column("leaf_index", sa.BigInteger, primary_key=True),
        sa.Column("key_ids", ARRAY(sa.BigInteger), nullable=False),
        sa.Column("sealed", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "log_content_subjects",
        sa.Column("key_id", sa.BigInteger, primary_key=True),
        sa.Column("leaf_index", sa.BigInteger, primary_key=True),
    )


def _beside() -> None:
    op.create_table(
        "log_cosignatures",
        sa.Column("tree_size", sa.BigInteger, primary_key=True),
        sa.Column("witness", sa.Text, primary_key=True),
        sa.Column("line", sa.Text, nullable=False),
        _time("cosign_time"),
    )
    op.create_table(
        "log_slots",
        sa.Column("asset_id", sa.Text, primary_key=True),
        sa.Column("organisation_id", sa.Text, nullable=False),
        sa.Column("content_sha256", sa.Text, nullable=False),
        sa.Column("reserved_leaf_index", sa.BigInteger, nullable=False),
        _time("reserve_time"),
        # Absent while the content was not published.
        sa.Column("committed_leaf_index", sa.BigInteger),
        sa.Column("package_id", sa.Text, nullable=False),
        _time("commit_time", nullable=True),
    )


def _guards() -> None:
    op.execute(_APPEND_ONLY)
    for table, refused in (
        ("log_leaves", "UPDATE OR DELETE OR TRUNCATE"),
        ("log_tiles", "UPDATE OR DELETE OR TRUNCATE"),
        # Of old checkpoints some are removed; none is changed.
        ("log_checkpoints", "UPDATE OR TRUNCATE"),
    ):
        op.execute(
            f"CREATE TRIGGER append_only BEFORE {refused} ON {table} FOR EACH STATEMENT EXECUTE FUNCTION log_append_only()"
        )
        op.execute(f"REVOKE {refused.replace(' OR', ',')} ON {table} FROM CURRENT_USER")
