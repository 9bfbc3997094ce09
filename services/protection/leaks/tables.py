"""The tables of leak cases and of notices to other platforms."""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB

_METADATA: Final = sa.MetaData()


def _text(*names: str) -> list[sa.Column[str]]:
    return [sa.Column(name, sa.Text) for name in names]


def _small(*names: str) -> list[sa.Column[int]]:
    return [sa.Column(name, sa.SmallInteger) for name in names]


def _moments(*names: str) -> list[sa.Column[object]]:
    return [sa.Column(name, sa.DateTime(timezone=True)) for name in names]


cases: Final = sa.Table(
    "leak_cases",
    _METADATA,
    sa.Column("case_id", sa.Text, primary_key=True),
    *_text("organisation_id", "title_asset_id", "url", "platform", "reporter", "comment", "explanation"),
    *_small("source", "state"),
    *_moments("find_time", "create_time", "close_time"),
)

evidence: Final = sa.Table(
    "leak_evidence",
    _METADATA,
    sa.Column("evidence_id", sa.Text, primary_key=True),
    *_text("case_id", "organisation_id", "filename", "media_type", "sha256", "url", "actor", "detection_id"),
    *_small("kind"),
    sa.Column("size_bytes", sa.BigInteger),
    *_moments("capture_time", "preserve_time"),
)

actions: Final = sa.Table(
    "leak_actions",
    _METADATA,
    sa.Column("action_id", sa.Text, primary_key=True),
    *_text("case_id", "organisation_id", "session_id", "viewer_id", "explanation", "rules", "revocation_id"),
    *_text("appeal_text", "appeal_comment", "appeal_actor"),
    *_small("kind", "state", "strike"),
    sa.Column("false_positive", sa.Double),
    sa.Column("alone_up_to", sa.Double),
    sa.Column("decisions", JSONB),
    sa.Column("appeal_upheld", sa.Boolean),
    *_moments("create_time", "end_time", "effect_time", "appeal_until", "appeal_time", "appeal_decide_time"),
)

strikes: Final = sa.Table(
    "leak_strikes",
    _METADATA,
    sa.Column("case_id", sa.Text, primary_key=True),
    sa.Column("viewer_id", sa.Text, primary_key=True),
    *_text("organisation_id"),
    *_moments("create_time", "expire_time"),
)

crawlers: Final = sa.Table(
    "leak_crawlers",
    _METADATA,
    sa.Column("crawler_id", sa.Text, primary_key=True),
    *_text("organisation_id", "display_name"),
    sa.Column("public_key", sa.LargeBinary),
    *_moments("create_time", "disable_time"),
)

findings: Final = sa.Table(
    "leak_findings",
    _METADATA,
    sa.Column("crawler_id", sa.Text, primary_key=True),
    sa.Column("finding_id", sa.Text, primary_key=True),
    *_text("case_id"),
    *_moments("create_time"),
)

notifiers: Final = sa.Table(
    "takedown_notifiers",
    _METADATA,
    sa.Column("organisation_id", sa.Text, primary_key=True),
    *_text("rights_holder", "signatory", "capacity", "address", "phone", "email"),
)

takedowns: Final = sa.Table(
    "takedowns",
    _METADATA,
    sa.Column("takedown_id", sa.Text, primary_key=True),
    *_text("case_id", "organisation_id", "platform", "url", "title_asset_id", "work", "destination", "text"),
    *_text("document_sha256", "signature", "message_id", "failure", "reference"),
    *_small("kind", "carrier", "state", "tries", "checks"),
    sa.Column("reappearances", sa.Integer),
    sa.Column("counter", JSONB),
    sa.Column("steps", JSONB),
    *_moments("create_time", "next_try_time", "check_time", "remind_time", "due_time"),
    *_moments("send_time", "first_remove_time", "remove_time"),
)

reminders: Final = sa.Table(
    "takedown_reminders",
    _METADATA,
    sa.Column("message_id", sa.Text, primary_key=True),
    *_text("address"),
    sa.Column("parameters", JSONB),
    *_small("tries"),
    *_moments("next_try_time", "expire_time"),
)
