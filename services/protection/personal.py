"""What this service keeps of persons: who watched watermarked titles."""

from __future__ import annotations

from typing import Final

from services.kit.personal import Blank, Declaration, Free, Match, Personal

DECLARATION: Final = Declaration(
    personal=(
        Personal(
            "sessions",
            "who watched watermarked titles, to find the source of a leaked copy",
            Match(
                "viewer_id = :name AND (:scope = '' OR asset_id IN (SELECT asset_id FROM titles WHERE organisation_id = :scope))"
            ),
            "viewer_id session_id create_time",
            "asset_id",
            Blank({"viewer_id": "''"}),
        ),
        Personal(
            "detections",
            "whose copy a leaked file was found to be",
            Match(
                "(:scope = '' OR organisation_id = :scope)"
                " AND jsonb_path_exists(finding, '$.accused[*] ? (@.viewer_id == $who)', jsonb_build_object('who', CAST(:name AS text)))"
            ),
            "finding end_time",
            "detection_id organisation_id asset_id title_asset_id object_key filename create_time ask_time state fraction failure_reason failure_message",
            Blank(
                {
                    "finding": "jsonb_set(finding, '{accused}', (SELECT jsonb_agg(CASE WHEN one ->> 'viewer_id' = :name THEN one || '{\"viewer_id\": \"\"}'"
                    " ELSE one END) FROM jsonb_array_elements(finding -> 'accused') AS one))"
                }
            ),
        ),
    ),
    free=(
        Free("masters", "files of organisations", "asset_id organisation_id object_key filename"),
        Free("titles", "which titles are watermarked", "asset_id organisation_id colluders segment_seconds renditions"),
    ),
)
