"""What this service keeps of persons: who was given licences, and who did something with keys."""

from __future__ import annotations

from typing import Final

from services.kit.personal import NOBODY, Blank, Declaration, Delete, Free, Personal, actor, person

_NOBODY: Final = f"'{NOBODY}'"

DECLARATION: Final = Declaration(
    personal=(
        Personal(
            "offline_licences",
            "licences that let a device play without a connection",
            person("viewer_id"),
            "viewer_id device_id session_id licence_id create_time issue_time expire_time revoke_time issue_count",
            "package_id organisation_id",
            Delete(),
        ),
        Personal(
            "licences",
            "licences that were issued to play films",
            person("viewer_id"),
            "viewer_id device_id session_id licence_id issue_time expire_time offline",
            "organisation_id package_id key_ids key_system security_level policy_version renewal_of",
            Delete(),
        ),
        Personal(
            "key_uses",
            "who used which content keys",
            actor("actor"),
            "actor action use_time",
            "use_id organisation_id package_id key_ids kek_id detail",
            Blank({"actor": _NOBODY}),
        ),
        Personal(
            "key_rotations",
            "who had keys rotated",
            actor("actor"),
            "actor create_time",
            "rotation_id organisation_id kind state reason kek_id keys_total keys_done stop_at_once rewrap_time first_title_time complete_time",
            Blank({"actor": _NOBODY}),
        ),
        Personal(
            "key_escrows",
            "who made escrows of keys",
            actor("actor"),
            "actor create_time",
            "escrow_id threshold share_count",
            Blank({"actor": _NOBODY}),
            {"public_key": "a key", "sealed_private_key": "a key"},
        ),
        Personal(
            "licence_policies",
            "who set rules of licences",
            actor("author"),
            "author create_time",
            "position organisation_id version policy",
            Blank({"author": _NOBODY}),
        ),
    ),
    free=(
        Free(
            "content_keys",
            "keys of films",
            "key_id package_id label organisation_id kek_id version sealed create_time revoke_time",
        ),
        Free(
            "key_encryption_keys",
            "keys of organisations",
            "kek_id organisation_id generation wrapped create_time root_id check_value retire_time destroy_time",
        ),
        Free(
            "emergency_titles",
            "films that get other keys",
            "rotation_id package_id state new_package_id failure_message ask_time change_time",
        ),
        Free("escrowed_keys", "keys in escrow", "escrow_id kek_id encrypted"),
        Free("fairplay_spcs", "digests of requests, so that none is used twice", "fingerprint expire_time"),
        Free(
            "keyed_contents",
            "contents of outside packagers",
            "keyed_content_id organisation_id protocol content_sha256 content_id create_time",
        ),
        Free("licence_journals", "how far each journal was drained", "segment drained update_time"),
        Free(
            "packagers",
            "outside packagers",
            "packager_id organisation_id display_name signing_iv signing_certificate create_time",
        ),
    ),
)
