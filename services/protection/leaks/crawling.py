"""What crawlers post: a JSON object, signed with the crawler's Ed25519 key (RFC 8032)."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from services.kit.ids import SUFFIX_PATTERN
from services.protection.leaks import refusals

NEAR: Final = timedelta(minutes=5)
"""How far from now a finding may have been signed."""
_CONTEXT: Final = b"reelmesh leak finding"


class Finding(BaseModel):
    """What a crawler found, as in `ReportLeakRequest`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    finding_id: str = Field(pattern=r"^[\x21-\x7e]{8,128}$")
    url: str = Field(pattern=r"^https?://[^\s/?#]+[^\s]*$", max_length=2048)
    find_time: datetime
    platform: str = Field(default="", pattern=r"^([a-z0-9][a-z0-9.-]{0,62})?$")
    title_asset_id: str = Field(default="", pattern=rf"^(ast_{SUFFIX_PATTERN})?$")
    comment: str = Field(default="", max_length=2000)

    @field_validator("find_time")
    @classmethod
    def _with_zone(cls, moment: datetime) -> datetime:
        if moment.tzinfo is None:
            raise ValueError("say the time zone")
        return moment.astimezone(UTC)

    @field_validator("url", "comment")
    @classmethod
    def _storable(cls, text: str) -> str:
        text.encode()  # a lone surrogate is no text
        if "\0" in text:
            raise ValueError("send text without NUL characters")
        return text


@dataclass(frozen=True, slots=True)
class Signed:
    """A finding as it was posted."""

    crawler_id: str
    finding: bytes
    sign_time: datetime
    signature: bytes


def statement(crawler_id: str, sign_time: datetime, finding: bytes) -> bytes:
    """What is signed."""
    seconds = str(int(sign_time.timestamp())).encode()
    return b"\n".join((_CONTEXT, crawler_id.encode(), seconds, finding))


def checked(signed: Signed, public_key: bytes, now: datetime) -> None:
    """Makes sure that a finding is the crawler's, and of now.

    Raises:
        Refusal: LEAK_FINDING_UNSIGNED.
    """
    if abs(now - signed.sign_time) > NEAR:
        raise refusals.finding_unsigned()
    try:
        said = statement(signed.crawler_id, signed.sign_time, signed.finding)
        Ed25519PublicKey.from_public_bytes(public_key).verify(signed.signature, said)
    except (InvalidSignature, ValueError):
        raise refusals.finding_unsigned() from None


def read(finding: bytes) -> Finding:
    """Reads a finding.

    Raises:
        Refusal: LEAK_FINDING_INVALID.
    """
    try:
        told: Any = json.loads(finding.decode("utf-8"))
        return Finding.model_validate(told)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "the whole"
        raise refusals.finding_invalid(f"{where}: {first['msg']}") from None
    except (ValueError, RecursionError):
        raise refusals.finding_invalid("it is no JSON in UTF-8") from None
