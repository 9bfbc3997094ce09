"""What this service keeps of persons: nothing. Titles and file names are the organisation's words about its films."""

from __future__ import annotations

from typing import Final

from services.kit.personal import Declaration, Free

DECLARATION: Final = Declaration(
    personal=(),
    free=(
        Free(
            "uploads",
            "files of organisations; nobody is named as who sent them",
            "upload_id asset_id organisation_id filename title content_type size_bytes received_bytes state sha256 create_time expire_time commit_time"
            " watermarking",
        ),
    ),
)
