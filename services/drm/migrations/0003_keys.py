"""Rotation, emergencies, escrow, and who used which key."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "drm_0003"
down_revision = "drm_0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """What is known of key-encryption keys and content keys beside themselves, and what happens to them."""
    # Where it was wrapped before this release nothing is said; the caretaker fills it in.
    op.add_column("key_encryption_keys", sa.Column("root_id", sa.Text, nullable=False, server_default=""))
    op.add_column("key_encryption_keys", sa.Column("check_value", sa.LargeBinary, nullable=False, server_default=""))
    op.add_column("key_encryption_keys", sa.Column("retire_time", sa.DateTime(timezone=True)))
    op.add_column("key_encryption_keys", sa.Column("destroy_time", sa.DateTime(timezone=True)))
    op.add_column("content_keys", sa.Column("revoke_time", sa.DateTime(timezone=True)))
    op.create_index("content_keys_by_organisation", "content_keys", ["organisation_id", "package_id"])
    _rotations()
    _escrows()
    op.create_table(
        "key_uses",
        sa.Column("use_id", sa.Text, primary_key=True),
        sa.Column("organisation_id", sa.Text, nullable=False),
        sa.Column("action", sa.SmallInteger, nullable=False),
        sa.Column("actor", sa.Text, nullable=False),
        sa.Column("package_id", sa.Text, nullable=False),
        sa.Column("key_ids", sa.ARRAY(sa.Text), nullable=False),
        sa.Column("kek_id", sa.Text, nullable=False),
        sa.Column("detail", sa.Text, nullable=False),
        sa.Column("use_time", sa.DateTime(timezone=True), nullable=False),
    )
    op.create_index("key_uses_by_organisation", "key_uses", ["organisation_id", sa.text("use_id DESC")])
    op.create_index("key_uses_by_package", "key_uses", ["package_id", sa.text("use_id DESC")])
    op.create_index("key_uses_to_forget", "key_uses", ["use_time"])


def _rotations() -> None:
    op.create_table(
        "key_rotations",
        sa.Column("rotation_id", sa.Text, primary_key=True),
        sa.Column("organisation_id", sa.Text, nullable=False),
        sa.Column("kind", sa.SmallInteger, nullable=False),
        sa.Column("state", sa.SmallInteger, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("actor", sa.Text, nullable=False),
        sa.Column("kek_id", sa.Text, sa.ForeignKey("key_encryption_keys.kek_id"), nullable=False),
        sa.Column("keys_total", sa.BigInteger, nullable=False),
        sa.Column("keys_done", sa.BigInteger, nullable=False),
        sa.Column("stop_at_once", sa.Boolean, nullable=False),
        sa.Column("create_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("rewrap_time", sa.DateTime(timezone=True)),
        sa.Column("first_title_time", sa.DateTime(timezone=True)),
        sa.Column("complete_time", sa.DateTime(timezone=True)),
    )
    op.create_index("key_rotations_by_organisation", "key_rotations", ["organisation_id", sa.text("rotation_id DESC")])
    # One at a time seals an organisation's keys anew; another one waits for the next look.
    op.create_index(
        "key_rotations_running",
        "key_rotations",
        ["organisation_id"],
        unique=True,
        postgresql_where=sa.text("state = 1"),
    )
    op.create_table(
        "emergency_titles",
        sa.Column("rotation_id", sa.Text, sa.ForeignKey("key_rotations.rotation_id"), primary_key=True),
        sa.Column("package_id", sa.Text, primary_key=True),
        sa.Column("state", sa.SmallInteger, nullable=False),
        sa.Column("new_package_id", sa.Text, nullable=False),
        sa.Column("failure_message", sa.Text, nullable=False),
        sa.Column("ask_time", sa.DateTime(timezone=True)),
        sa.Column("change_time", sa.DateTime(timezone=True), nullable=False),
    )
    op.create_index(
        "emergency_titles_waiting", "emergency_titles", ["package_id"], postgresql_where=sa.text("state = 1")
    )


def _escrows() -> None:
    op.create_table(
        "key_escrows",
        sa.Column("escrow_id", sa.Text, primary_key=True),
        sa.Column("public_key", sa.LargeBinary, nullable=False),
        sa.Column("sealed_private_key", sa.LargeBinary, nullable=False),
        sa.Column("threshold", sa.SmallInteger, nullable=False),
        sa.Column("share_count", sa.SmallInteger, nullable=False),
        sa.Column("actor", sa.Text, nullable=False),
        sa.Column("create_time", sa.DateTime(timezone=True), nullable=False),
    )
    op.create_table(
        "escrowed_keys",
        sa.Column("escrow_id", sa.Text, sa.ForeignKey("key_escrows.escrow_id", ondelete="CASCADE"), primary_key=True),
        sa.Column("kek_id", sa.Text, sa.ForeignKey("key_encryption_keys.kek_id"), primary_key=True),
        sa.Column("encrypted", sa.LargeBinary, nullable=False),
    )
