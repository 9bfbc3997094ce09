"""What this service keeps of persons: nothing."""

from __future__ import annotations

from typing import Final

from services.kit.personal import Declaration, Free

DECLARATION: Final = Declaration(
    personal=(),
    free=(
        Free("deleted_assets", "films that are gone", "asset_id delete_time"),
        Free(
            "jobs",
            "what is made of films",
            "job_id asset_id organisation_id object_key state plan renditions failure_reason failure_message create_time end_time delete_time tidy colluders",
        ),
        Free(
            "tasks",
            "parts of jobs",
            "task_id job_id kind position state seconds seconds_done result attempt failures losses lease_until ask_time end_time",
        ),
    ),
)
