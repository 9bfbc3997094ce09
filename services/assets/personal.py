"""What this service keeps of persons: nothing. Titles and file names are the organisation's words about its films."""

from __future__ import annotations

from typing import Final

from services.kit.personal import Declaration, Free

DECLARATION: Final = Declaration(
    personal=(),
    free=(
        Free("holds", "legal holds on films", "hold_id asset_id released event_time"),
        Free(
            "assets",
            "films of organisations; nobody is named as who uploaded them",
            "asset_id organisation_id version state update_time title upload_id filename size_bytes sha256 commit_time probe_time media transcode_time"
            " failure_stage failure_reason failure_message failure_time packaging_time package_id publish_time delete_time"
            " consent consent_time delay_time hold_time clear_time purpose",
        ),
    ),
)
