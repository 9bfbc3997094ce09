"""What can be set about the gate."""

from __future__ import annotations

from typing import Annotated, Final

from pydantic import Field, field_validator
from pydantic_settings import NoDecode

from services.kit.settings import ProcessSettings
from services.protection.scanners import clamav

HASH_LISTS: Final = "hash-lists"
KNOWN: Final = frozenset({clamav.NAME, HASH_LISTS})


class ScannerSettings(ProcessSettings):
    """Settings of the checks at the gate."""

    scanners: Annotated[frozenset[str], NoDecode] = Field(
        default=frozenset({HASH_LISTS}),
        description="Scanners that every master has to pass, separated by commas: `clamav`, `hash-lists`, or nothing. Masters wait while one that is on cannot be reached.",
    )
    clamav_address: str = Field(
        default="unix:/run/clamav/clamd.ctl", description="Where clamd listens: `unix:/path` or `host:port`."
    )
    clamav_part_bytes: int = Field(
        default=1 << 30,
        gt=clamav.OVERLAP,
        le=(1 << 31) - 1,
        description="Larger masters go to clamd in parts of so many bytes, which overlap. Its StreamMaxLength, MaxFileSize and MaxScanSize must not be smaller.",
    )
    gate_workers: int = Field(
        default=2, ge=1, le=64, description="Masters that are looked at at the same time by one process."
    )
    hash_lists_limit: int = Field(
        default=5_000_000, ge=1, description="Hashes of all lists together. Each takes 32 bytes of memory."
    )
    quarantine_kept_days: int = Field(
        default=365,
        ge=1,
        description="Days for which the evidence of a confirmed hold is kept. 18 U.S.C. 2258A(h) asks for a year.",
    )
    hold_report_url: str = Field(
        default="",
        pattern="^(https?://.+)?$",
        description="Where each hold, and each final decision about one, is reported to: a webhook, signed by the secret in `<secrets_dir>/hold_report_secret`. Empty: nowhere.",
    )

    @field_validator("scanners", mode="before")
    @classmethod
    def _named(cls, value: object) -> object:
        """Reads a list that is separated by commas."""
        if isinstance(value, str):
            return frozenset(name.strip() for name in value.split(",") if name.strip())
        return value

    @field_validator("scanners")
    @classmethod
    def _known(cls, value: frozenset[str]) -> frozenset[str]:
        """Refuses scanners that there are not: nobody is to believe that one is on which is misspelt."""
        if unknown := value - KNOWN:
            raise ValueError(f"there are the scanners {', '.join(sorted(KNOWN))}, not {', '.join(sorted(unknown))}")
        return value

    @field_validator("clamav_address")
    @classmethod
    def _address(cls, value: str) -> str:
        """Refuses what is no address."""
        clamav.Address.of(value)
        return value
