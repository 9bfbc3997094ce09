"""What this service keeps of persons: who watched watermarked titles, what came of leaked copies, and who of staff decided about it."""

from __future__ import annotations

from typing import Final

from services.kit.personal import (
    NOBODY,
    Blank,
    Declaration,
    Delete,
    Fades,
    Free,
    Keep,
    Match,
    Personal,
    actor,
    either,
    person,
)

_WITHOUT: Final = (
    "COALESCE((SELECT jsonb_agg(CASE WHEN one ->> '<key>' = 'user/' || :name THEN jsonb_set(one, '{<key>}', '\"NOBODY\"') ELSE one END"
    " ORDER BY number) FROM jsonb_array_elements(<column>) WITH ORDINALITY AS listed (one, number)), '[]')"
).replace("NOBODY", NOBODY)


def _named_in(column: str, key: str) -> Match:
    """Rows in which one of a list of steps says of a person that they took it, by the name of a principal."""
    who = "jsonb_build_object('who', 'user/' || CAST(:name AS text))"
    return Match(f":scope = '' AND jsonb_path_exists({column}, '$[*] ? (@.{key} == $who)', {who})")


def _without(column: str, key: str) -> str:
    """Such a list with nobody in the person's place, in the same order."""
    return _WITHOUT.replace("<column>", column).replace("<key>", key)


_CLAIMS: Final = "claims because of leaks (GDPR art. 17(3)(e))"
_PRESERVED: Final = "preserved evidence of illegal content (GDPR art. 17(3)(b) and (e); 18 U.S.C. 2258A(h))"
_LEAKS: Final = (
    Personal(
        "leak_strikes",
        "leaks that counted against the person",
        person("viewer_id"),
        "case_id viewer_id create_time expire_time",
        "organisation_id",
        Delete(),
    ),
    Personal(
        "leak_actions",
        "what was proposed or done because of a leak, and appeals against it",
        either(person("viewer_id"), actor("appeal_actor"), _named_in("decisions", "actor")),
        "action_id viewer_id session_id explanation appeal_text appeal_comment create_time end_time effect_time appeal_until appeal_time"
        " appeal_decide_time",
        "case_id organisation_id rules revocation_id kind state strike false_positive alone_up_to appeal_upheld",
        Keep(
            _CLAIMS,
            3,
            "create_time",
            Blank(
                {
                    "viewer_id": "CASE WHEN viewer_id = :name THEN '' ELSE viewer_id END",
                    "appeal_text": "CASE WHEN viewer_id = :name THEN '' ELSE appeal_text END",
                    "appeal_actor": f"CASE WHEN appeal_actor = 'user/' || :name THEN '{NOBODY}' ELSE appeal_actor END",
                    "decisions": _without("decisions", "actor"),
                }
            ),
        ),
        {"decisions": "what staff said among themselves", "appeal_actor": "who of staff decided"},
    ),
    Personal(
        "leak_evidence",
        "who of staff preserved evidence of leaks",
        actor("actor"),
        "evidence_id actor capture_time preserve_time",
        "case_id organisation_id filename media_type sha256 url detection_id kind size_bytes",
        Blank({"actor": f"'{NOBODY}'"}),
    ),
    Personal(
        "leak_cases",
        "who reported leaks",
        actor("reporter"),
        "case_id reporter find_time create_time",
        "organisation_id title_asset_id url platform comment explanation source state close_time",
        Blank({"reporter": f"'{NOBODY}'"}),
    ),
    Personal(
        "takedowns",
        "who of staff had copies taken down from other platforms",
        _named_in("steps", "actor"),
        "steps create_time",
        "takedown_id case_id organisation_id platform url title_asset_id work destination text document_sha256 signature message_id failure"
        " reference kind carrier state tries checks reappearances next_try_time check_time remind_time due_time send_time first_remove_time"
        " remove_time",
        Keep(_CLAIMS, 3, "create_time", Blank({"steps": _without("steps", "actor")})),
        {"counter": "what somebody else wrote"},
    ),
    Personal(
        "takedown_reminders",
        "letters to those who sign notices, gone once they are handed over",
        Match("FALSE"),
        "address parameters",
        "message_id tries next_try_time expire_time",
        Fades("within days"),
    ),
)
_OTHERS: Final = (
    Personal(
        "review_copies",
        "copies for somebody to look at, with their name in the picture",
        person("recipient"),
        "review_copy_id recipient create_time end_time expire_time",
        "organisation_id asset_id object_key ask_time state fraction size_bytes sha256 failure_message",
        Blank({"recipient": "''"}),
    ),
    Personal(
        "holds",
        "who of staff decided about uploads that a scanner held",
        _named_in("reviews", "reviewer"),
        "hold_id reviews decide_time",
        "asset_id organisation_id upload_id filename sha256 size_bytes ground finding create_time ask_time state sealed_sha256 preserve_time"
        " report_time destroy_time",
        Keep(_PRESERVED, 1, "create_time", Blank({"reviews": _without("reviews", "reviewer")})),
    ),
)
_FREE: Final = (
    Free(
        "leak_crawlers",
        "programs that look for leaks",
        "crawler_id organisation_id display_name public_key create_time disable_time",
    ),
    Free("leak_findings", "what programs found", "crawler_id finding_id case_id create_time"),
    Free(
        "takedown_notifiers",
        "who signs for the organisation, as each of its notices says (17 U.S.C. 512(c)(3)(A))",
        "organisation_id rights_holder signatory capacity address phone email",
    ),
    Free(
        "screenings",
        "files of organisations on their way through scanners",
        "asset_id upload_id organisation_id object_key sha256 size_bytes filename content_type watermarking create_time ask_time state passed"
        " delayed_by delay_time purpose",
    ),
    Free(
        "hold_reports",
        "that something was held, on its way to whoever reports it",
        "report_id hold_id body create_time ask_time attempts",
    ),
    Free("hash_lists", "lists of digests of pictures", "list_name entry_count version update_time"),
    Free("hash_entries", "digests of pictures", "list_name pdq note"),
    Free(
        "overlays",
        "what is shown over films, with places for who watches",
        "organisation_id enabled text opacity size motion seconds contrast_aware",
    ),
    Free(
        "fingerprints",
        "fingerprints of films",
        "asset_id number organisation_id picture_key sound_key state seconds ask_time delete_time",
    ),
    Free("bars", "films that must not come again", "asset_id case_id ground barred change_time"),
    Free(
        "matches",
        "files that were compared with films",
        "match_id organisation_id asset_id object_key filename create_time ask_time state fraction passages failure_reason failure_message end_time",
    ),
)

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
        *_LEAKS,
        *_OTHERS,
    ),
    free=(
        *_FREE,
        Free("masters", "files of organisations", "asset_id organisation_id object_key filename"),
        Free("titles", "which titles are watermarked", "asset_id organisation_id colluders segment_seconds renditions"),
    ),
)
