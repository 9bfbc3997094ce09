"""What this service keeps of persons. Each part of it adds its tables here."""

from __future__ import annotations

from typing import Final

from services.kit.personal import NOBODY, Blank, Declaration, Fades, Free, Match, Personal, actor

_LOG: Final = (
    Free(
        "log_leaves",
        "records of the audit log: commitments, which say nothing without their keys",
        "leaf_index event_id event_type organisation_id leaf_hash record",
    ),
    Free("log_tiles", "hashes", "level tile_index root"),
    Free("log_checkpoints", "what the log signed", "tree_size root note sign_time"),
    Free("log_cosignatures", "what witnesses signed", "tree_size witness line cosign_time"),
    Free("log_head", "how far the log has come", "single origin tree_size frontier stream sequence"),
    Free(
        "log_subject_keys",
        "persons' keys by keyed digests; erasure destroys the key (services/compliance/log/erasing.py)",
        "key_id subject_digest sealed_key create_time",
    ),
    Free("log_contents", "what events said, sealed by persons' keys; erasure removes it", "leaf_index key_ids sealed"),
    Free("log_content_subjects", "which key seals what; erasure removes it", "key_id leaf_index"),
    Free(
        "log_slots",
        "content of assets",
        "asset_id organisation_id content_sha256 reserved_leaf_index reserve_time committed_leaf_index package_id commit_time",
    ),
)
_RIGHTS: Final = (
    Personal(
        "rights_requests",
        "who of staff took in requests of others about their data",
        actor("actor"),
        "data_request_id actor kind receive_time",
        "organisation_id state limits lift proof extend_reason refuse_reason round due_time remind_time next_time end_time keep_until waits_for code_tries",
        Blank({"actor": f"'{NOBODY}'"}),
        {
            "subject_digest": "a keyed digest of somebody else",
            "sealed_subject": "sealed; somebody else",
            "code_digest": "digest of a code",
        },
    ),
    Personal(
        "legal_holds",
        "who of staff placed holds",
        actor("actor"),
        "hold_id actor place_time",
        "organisation_id asset_id ground release_time release_reason",
        Blank({"actor": f"'{NOBODY}'"}),
        {"subject_digest": "a keyed digest of somebody else", "sealed_subject": "sealed; somebody else"},
    ),
    Personal(
        "rights_letters",
        "sealed letters to persons, gone once they are handed over",
        Match("FALSE"),
        "sealed",
        "message_id next_time expire_time",
        Fades("within seven days at most"),
    ),
)

DECLARATION: Final = Declaration(
    personal=_RIGHTS,
    free=(
        *_LOG,
        Free("rights_receipts", "tables and counts", "data_request_id round service receipt done_time"),
        Free(
            "rights_limits",
            "what may not be done with the data of whom, by a keyed digest",
            "subject_digest limits change_time",
        ),
    ),
)
