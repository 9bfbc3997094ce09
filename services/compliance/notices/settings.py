"""What can be set about notices."""

from __future__ import annotations

from pydantic import Field

from services.kit.settings import ProcessSettings


class NoticesSettings(ProcessSettings):
    """Settings of notices. How long everything may take is no setting: it stands in the dated rules."""

    compliance_notices_watch_seconds: float = Field(
        default=15, gt=0, description="Seconds between two looks for terms of notices that ended."
    )
    compliance_notices_post_seconds: float = Field(
        default=10,
        gt=0,
        description="Seconds between two looks for letters about notices that a process which died left to send.",
    )
