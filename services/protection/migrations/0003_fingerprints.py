"""Fingerprints, what is barred, matches."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "protection_0003"
down_revision = "protection_0002"
branch_labels = None
depends_on = None

# Watermarked titles that are known already get fingerprints too: variant a of the last rendition, which is the smallest, shows enough.
_KNOWN_TITLES = """
INSERT INTO fingerprints (asset_id, organisation_id, picture_key, sound_key, state, seconds, ask_time)
SELECT asset_id, organisation_id, renditions->-1->>'variant_a', '', 1, 0, to_timestamp(0) FROM titles
WHERE jsonb_array_length(renditions) > 0
"""


def upgrade() -> None:
    """Tables of fingerprints, of bars and of matches."""
    op.create_table(
        "fingerprints",
        sa.Column("asset_id", sa.Text, primary_key=True),
        sa.Column("number", sa.BigInteger, sa.Identity(), nullable=False, unique=True),
        sa.Column("organisation_id", sa.Text, nullable=False),
        sa.Column("picture_key", sa.Text, nullable=False),
        sa.Column("sound_key", sa.Text, nullable=False),
        sa.Column("state", sa.SmallInteger, nullable=False),
        sa.Column("seconds", sa.Double, nullable=False),
        sa.Column("ask_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("delete_time", sa.DateTime(timezone=True)),
    )
    op.create_table(
        "bars",
        sa.Column("asset_id", sa.Text, primary_key=True),
        sa.Column("case_id", sa.Text, primary_key=True),
        sa.Column("ground", sa.SmallInteger, nullable=False),
        sa.Column("barred", sa.Boolean, nullable=False),
        sa.Column("change_time", sa.DateTime(timezone=True), nullable=False),
    )
    op.create_table(
        "matches",
        sa.Column("match_id", sa.Text, primary_key=True),
        sa.Column("organisation_id", sa.Text, nullable=False),
        sa.Column("asset_id", sa.Text, nullable=False),
        sa.Column("object_key", sa.Text, nullable=False),
        sa.Column("filename", sa.Text, nullable=False),
        sa.Column("create_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ask_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("state", sa.SmallInteger, nullable=False),
        sa.Column("fraction", sa.Double, nullable=False),
        sa.Column("passages", JSONB, nullable=False),
        sa.Column("failure_reason", sa.Text, nullable=False),
        sa.Column("failure_message", sa.Text, nullable=False),
        sa.Column("end_time", sa.DateTime(timezone=True)),
    )
    op.create_index("fingerprints_of", "fingerprints", ["organisation_id", "state"])
    op.create_index("fingerprints_to_make", "fingerprints", ["ask_time"], postgresql_where=sa.text("state = 1"))
    op.create_index(
        "fingerprints_deleted", "fingerprints", ["delete_time"], postgresql_where=sa.text("delete_time IS NOT NULL")
    )
    op.create_index("matches_of", "matches", ["organisation_id", sa.text("match_id DESC")])
    op.create_index("matches_to_do", "matches", ["ask_time"], postgresql_where=sa.text("end_time IS NULL"))
    op.create_index("matches_by_end", "matches", ["end_time"])
    op.execute(_KNOWN_TITLES)
