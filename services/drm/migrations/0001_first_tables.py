"""First tables."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from services.kit.database import KIT_TABLES

revision = "drm_0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Keys, all of them wrapped or sealed; and the kit's own tables."""
    KIT_TABLES.create_all(op.get_bind())
    op.create_table(
        "key_encryption_keys",
        sa.Column("kek_id", sa.Text, primary_key=True),
        sa.Column("organisation_id", sa.Text, nullable=False),
        sa.Column("generation", sa.Integer, nullable=False),
        sa.Column("wrapped", sa.LargeBinary, nullable=False),
        sa.Column("create_time", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
        sa.UniqueConstraint("organisation_id", "generation"),
    )
    op.create_table(
        "content_keys",
        sa.Column("key_id", sa.LargeBinary, primary_key=True),
        sa.Column("package_id", sa.Text, nullable=False),
        sa.Column("label", sa.Text, nullable=False),
        sa.Column("organisation_id", sa.Text, nullable=False),
        sa.Column("kek_id", sa.Text, sa.ForeignKey("key_encryption_keys.kek_id"), nullable=False, index=True),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("sealed", sa.LargeBinary, nullable=False),
        sa.Column("create_time", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
        sa.UniqueConstraint("package_id", "label"),
        sa.CheckConstraint("octet_length(key_id) = 16", name="key_id_of_16_bytes"),
    )
