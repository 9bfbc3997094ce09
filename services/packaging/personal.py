"""What this service keeps of persons: nothing."""

from __future__ import annotations

from typing import Final

from services.kit.personal import Declaration, Free

DECLARATION: Final = Declaration(
    personal=(),
    free=(
        Free("deleted_assets", "films that are gone", "asset_id delete_time"),
        Free(
            "packages",
            "packages of films",
            "package_id asset_id organisation_id job_id source state scheme attempt lease_until ask_time failures losses track_keys dash_path hls_path"
            " poster_path thumbnails_path duration_seconds size_bytes failure_reason failure_message create_time start_time publish_time delete_time"
            " remove_time replaces watermark_colluders watermark_segments",
        ),
    ),
)
