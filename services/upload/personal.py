"""What this service keeps of persons: who sent which file. Titles and file names are the organisation's words about its films."""

from __future__ import annotations

from typing import Final

from services.kit.personal import NOBODY, Blank, Declaration, Personal, actor

DECLARATION: Final = Declaration(
    personal=(
        Personal(
            "uploads",
            "what the person uploaded",
            actor("actor"),
            "upload_id actor create_time commit_time",
            "asset_id organisation_id filename title content_type size_bytes received_bytes state sha256 expire_time watermarking purpose",
            Blank({"actor": f"'{NOBODY}'"}),
        ),
    ),
)
