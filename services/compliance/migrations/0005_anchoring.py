"""Anchors of checkpoints outside the install: on an EVM chain, and in Bitcoin by OpenTimestamps."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "compliance_0005"
down_revision = "compliance_0004"
branch_labels = None
depends_on = None


def _time(name: str, *, nullable: bool = False) -> sa.Column[object]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable)


def upgrade() -> None:
    """Anchors, what each way of anchoring keeps of them, and what is in its way."""
    op.create_table(
        "anchors",
        sa.Column("anchor_id", sa.Text, primary_key=True),
        sa.Column("anchor", sa.Text, nullable=False),
        sa.Column("tree_size", sa.BigInteger, nullable=False),
        sa.Column("root", sa.LargeBinary, nullable=False),
        sa.Column("note", sa.Text, nullable=False),
        _time("begin_time"),
        # What follows is known once it is confirmed.
        _time("confirm_time", nullable=True),
        sa.Column("transaction_hash", sa.Text, nullable=False, server_default=""),
        sa.Column("block_number", sa.BigInteger, nullable=False, server_default="0"),
        sa.Column("block_hash", sa.Text, nullable=False, server_default=""),
        sa.UniqueConstraint("tree_size", "anchor"),
    )
    op.create_index("anchors_by_way", "anchors", ["anchor", "tree_size"])
    op.create_index("anchors_pending", "anchors", ["anchor"], postgresql_where=sa.text("confirm_time IS NULL"))
    op.create_table(
        # Each is here before it is sent. Those of one nonce take each other's place: the chain takes one of them.
        "anchor_transactions",
        sa.Column("chain_id", sa.BigInteger, primary_key=True),
        sa.Column("sender", sa.Text, primary_key=True),
        sa.Column("nonce", sa.BigInteger, primary_key=True),
        sa.Column("attempt", sa.Integer, primary_key=True),
        sa.Column("anchor_id", sa.Text, nullable=False, index=True),
        sa.Column("transaction_hash", sa.Text, nullable=False, unique=True),
        sa.Column("raw", sa.LargeBinary, nullable=False),
        sa.Column("gas", sa.BigInteger, nullable=False),
        sa.Column("max_fee", sa.Numeric(40, 0), nullable=False),
        sa.Column("tip", sa.Numeric(40, 0), nullable=False),
        _time("create_time"),
        # The block in which it was seen last; empty when it is in none.
        sa.Column("seen_block_hash", sa.Text, nullable=False, server_default=""),
        # Another transaction took its nonce for good.
        sa.Column("lost", sa.Boolean, nullable=False, server_default=sa.false()),
    )
    op.create_table(
        "anchor_timestamps",
        sa.Column("anchor_id", sa.Text, primary_key=True),
        # The `.ots` file.
        sa.Column("content", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "anchor_troubles",
        sa.Column("anchor", sa.Text, primary_key=True),
        sa.Column("trouble", sa.Text, nullable=False),
        _time("begin_time"),
    )
