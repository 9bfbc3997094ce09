"""Keys for packagers outside of the mesh."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "drm_0004"
down_revision = "drm_0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """What keys were asked for, and who may sign requests. Keys are found within a content, as encryptors choose their ids: two organisations, or two
    contents, may choose the same. A packager's own key lies among them, under the packager's id."""
    op.drop_constraint("content_keys_pkey", "content_keys", type_="primary")
    op.create_primary_key("content_keys_pkey", "content_keys", ["package_id", "key_id"])
    op.create_table(
        "keyed_contents",
        sa.Column("keyed_content_id", sa.Text, primary_key=True),
        sa.Column("organisation_id", sa.Text, nullable=False),
        sa.Column("protocol", sa.SmallInteger, nullable=False),
        sa.Column("content_sha256", sa.LargeBinary, nullable=False),
        sa.Column("content_id", sa.Text, nullable=False),
        sa.Column("create_time", sa.DateTime(timezone=True), nullable=False),
        sa.UniqueConstraint("organisation_id", "protocol", "content_sha256"),
    )
    op.create_index("keyed_contents_newest", "keyed_contents", ["organisation_id", "keyed_content_id"])
    op.create_table(
        "packagers",
        sa.Column("packager_id", sa.Text, primary_key=True),
        sa.Column("organisation_id", sa.Text, nullable=False),
        sa.Column("display_name", sa.Text, nullable=False),
        sa.Column("signing_iv", sa.LargeBinary, nullable=False),
        sa.Column("signing_certificate", sa.LargeBinary, nullable=False),
        sa.Column("create_time", sa.DateTime(timezone=True), nullable=False),
    )
    op.create_index("packagers_newest", "packagers", ["organisation_id", "packager_id"])
