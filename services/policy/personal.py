"""What this service keeps of persons: what they watched, what they may watch, and what was decided about it."""

from __future__ import annotations

from typing import Final

from services.kit.personal import (
    NOBODY,
    Blank,
    Declaration,
    Delete,
    Free,
    Match,
    Personal,
    account,
    actor,
    either,
    person,
    through,
)
from services.policy.revocations.store import Target

_SESSIONS: Final = Personal(
    "playback_sessions",
    "what the person watched",
    person("viewer_id"),
    "session_id viewer_id asset_id create_time expire_time revoke_time revoke_comment device_id profile_id territory download beat_time displace_time"
    " entitlement_id",
    "package_id organisation_id change_time",
    Blank(
        {
            "viewer_id": "''",
            "device_id": "''",
            "profile_id": "''",
            "territory": "''",
            "revoke_comment": "''",
            "key_thumbprint": "''",
        }
    ),
    {"key_thumbprint": "digest of a key"},
)

DECLARATION: Final = Declaration(
    personal=(
        Personal(
            "playback_codes",
            "codes that open watch pages",
            through("session_id", _SESSIONS),
            "session_id expire_time redeem_time",
            "",
            Delete(),
            {"code_sha256": "digest of a code"},
        ),
        Personal(
            "reviews",
            "when running sessions are looked at again",
            Match("kind = 'viewer' AND target_id = :name AND (:scope = '' OR organisation_id = :scope)"),
            "target_id due_time",
            "kind organisation_id after_session_id",
            Delete(),
        ),
        Personal(
            "decisions",
            "what was decided when the person wanted to watch, and why; kept for 30 days",
            either(person("viewer_id"), through("session_id", _SESSIONS)),
            "decision_id viewer_id session_id asset_id kind allowed reason lifted_by decide_time facts results",
            "organisation_id rule_set_version correlation_id",
            Delete(),
        ),
        Personal(
            "signals",
            "unusual activity",
            either(person("viewer_id"), through("session_id", _SESSIONS)),
            "signal_id viewer_id session_id kind weight explanation facts observe_time clear_time",
            "organisation_id",
            Delete(),
        ),
        Personal(
            "viewer_risks",
            "a score of unusual activity, which fades",
            person("viewer_id"),
            "viewer_id score score_time warn_time step_up_time throttle_time refuse_time throttle_until",
            "organisation_id half_life_seconds",
            Delete(),
        ),
        Personal(
            "revocations",
            "what was barred from watching, and by whom",
            either(Match(f"target = {int(Target.VIEWER)} AND {person('target_id').sql}"), actor("actor")),
            "target target_id comment actor create_time lift_time",
            "revocation_id organisation_id",
            Blank(
                {
                    "target_id": f"CASE WHEN target = {int(Target.VIEWER)} AND target_id = :name THEN 'erased' ELSE target_id END",
                    "comment": "''",
                    "actor": f"CASE WHEN actor = 'user/' || :name THEN '{NOBODY}' ELSE actor END",
                }
            ),
        ),
        Personal(
            "age_proofs",
            "that an age was proved, without the proof",
            person("viewer_id"),
            "viewer_id method threshold device_id expire_time event_time",
            "organisation_id",
            Delete(),
        ),
        Personal(
            "entitlements",
            "what the person may watch",
            person("viewer_id"),
            "entitlement_id viewer_id asset_id start_time end_time territories revoked max_plays begin_by_time watch plays begin_time event_time",
            "organisation_id",
            Delete(),
        ),
        Personal(
            "subscribed_tiers",
            "what the person subscribed to",
            person("viewer_id"),
            "subscription_id viewer_id tier end_time event_time",
            "organisation_id",
            Delete(),
        ),
        Personal(
            "accounts",
            "tiers and locks of accounts",
            account("account_id"),
            "account_id tier locked event_time",
            "",
            Delete(),
        ),
        Personal(
            "devices",
            "devices of accounts",
            account("account_id"),
            "device_id account_id revoked event_time",
            "",
            Delete(),
        ),
        Personal(
            "profiles",
            "what profiles may watch at most",
            account("account_id"),
            "profile_id account_id maturity removed event_time",
            "",
            Delete(),
        ),
        Personal("sign_ins", "when people signed in", account("account_id"), "account_id sign_in_time", "", Delete()),
        Personal(
            "processing_limits",
            "what the person does not want done with their data",
            person("viewer_id"),
            "viewer_id limits change_time",
            "organisation_id",
            Delete(),
        ),
        _SESSIONS,
    ),
    free=(
        Free("access_token_uses", "digests of tokens, so that none is used too often", "token_sha256 expire_time"),
        Free("active_rule_sets", "which rules are in force", "organisation_id version change_time"),
        Free("assets", "films", "asset_id organisation_id title title_time delete_time change_time"),
        Free("classifications", "ratings of films", "asset_id organisation_id classification event_time"),
        Free("consent_requirements", "which organisations ask for records", "organisation_id required event_time"),
        Free("consents", "whether all who are seen in a film agree", "asset_id organisation_id state event_time"),
        Free("jurisdictions", "rules by place", "organisation_id rules event_time"),
        Free(
            "overlays", "what is shown over films, with places for who watches", "organisation_id template change_time"
        ),
        Free(
            "packages",
            "packages of films",
            "package_id asset_id organisation_id dash_path hls_path poster_path thumbnails_path key_ids publish_time change_time watermark_colluders"
            " watermark_segments",
        ),
        Free("rule_sets", "rules", "organisation_id version rules comment create_time activate_time"),
        Free("terms", "terms of films", "asset_id organisation_id version terms"),
        Free(
            "title_holds",
            "films that were taken down, and where",
            "asset_id case_id organisation_id taken_down territories event_time",
        ),
        Free("ticket_keys", "keys that sign tickets", "key_id sealed_private_key create_time sign_time forget_time"),
    ),
)
