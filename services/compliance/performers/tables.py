"""The tables of records."""

from __future__ import annotations

from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY

METADATA: Final = sa.MetaData()


def _reviewed() -> list[sa.Column[Any]]:
    return [
        sa.Column("state", sa.SmallInteger),
        sa.Column("submitter", sa.Text),
        sa.Column("submit_time", sa.DateTime(timezone=True)),
        sa.Column("reviewer", sa.Text),
        sa.Column("review_time", sa.DateTime(timezone=True)),
        sa.Column("comment", sa.Text),
    ]


performers: Final = sa.Table(
    "performers",
    METADATA,
    sa.Column("performer_id", sa.Text, primary_key=True),
    sa.Column("organisation_id", sa.Text),
    sa.Column("sealed_key", sa.LargeBinary),
    sa.Column("sealed", sa.LargeBinary),
    sa.Column("create_time", sa.DateTime(timezone=True)),
)
documents: Final = sa.Table(
    "identity_documents",
    METADATA,
    sa.Column("identity_document_id", sa.Text, primary_key=True),
    sa.Column("performer_id", sa.Text),
    sa.Column("organisation_id", sa.Text),
    sa.Column("kind", sa.SmallInteger),
    sa.Column("issuer", sa.Text),
    sa.Column("expire_date", sa.Date),
    *_reviewed(),
    sa.Column("told", sa.SmallInteger),
)
productions: Final = sa.Table(
    "productions",
    METADATA,
    sa.Column("production_id", sa.Text, primary_key=True),
    sa.Column("organisation_id", sa.Text),
    sa.Column("version", sa.Integer),
    sa.Column("title", sa.Text),
    sa.Column("production_date", sa.Date),
    sa.Column("asset_ids", ARRAY(sa.Text)),
    sa.Column("performer_ids", ARRAY(sa.Text)),
    sa.Column("urls", ARRAY(sa.Text)),
    *_reviewed(),
)
releases: Final = sa.Table(
    "releases",
    METADATA,
    sa.Column("release_id", sa.Text, primary_key=True),
    sa.Column("production_id", sa.Text),
    sa.Column("performer_id", sa.Text),
    sa.Column("organisation_id", sa.Text),
    sa.Column("sign_date", sa.Date),
    sa.Column("expire_date", sa.Date),
    *_reviewed(),
    sa.Column("withdraw_time", sa.DateTime(timezone=True)),
    sa.Column("token_digest", sa.LargeBinary),
    sa.Column("told", sa.SmallInteger),
)
openings: Final = sa.Table(
    "record_openings",
    METADATA,
    sa.Column("record_id", sa.Text, primary_key=True),
    sa.Column("actor", sa.Text, primary_key=True),
    sa.Column("open_time", sa.DateTime(timezone=True)),
)
settings: Final = sa.Table(
    "records_settings",
    METADATA,
    sa.Column("organisation_id", sa.Text, primary_key=True),
    sa.Column("records_required", sa.Boolean),
    sa.Column("custodian", sa.Text),
    sa.Column("custodian_title", sa.Text),
    sa.Column("street_address", sa.Text),
    sa.Column("settle_after", sa.Text),
    sa.Column("change_time", sa.DateTime(timezone=True)),
)
assets: Final = sa.Table(
    "recorded_assets",
    METADATA,
    sa.Column("asset_id", sa.Text, primary_key=True),
    sa.Column("organisation_id", sa.Text),
    sa.Column("deleted", sa.Boolean),
    sa.Column("delete_time", sa.DateTime(timezone=True)),
)
consents: Final = sa.Table(
    "asset_consents",
    METADATA,
    sa.Column("asset_id", sa.Text, primary_key=True),
    sa.Column("organisation_id", sa.Text),
    sa.Column("state", sa.SmallInteger),
    sa.Column("named", sa.Boolean),
    sa.Column("change_time", sa.DateTime(timezone=True)),
)
