"""What this service keeps of persons. Each part of it adds its tables here."""

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

_RECORDS: Final = "records of performers (GDPR art. 17(3)(b); 18 U.S.C. 2257(f), 28 CFR 75.4)"
_REVIEWED: Final = "submitter submit_time reviewer review_time comment"
_FILED: Final = either(person("performer_id"), actor("submitter"), actor("reviewer"))
_PERFORMERS: Final = (
    # They leave by the end of their years (services/compliance/performers/expiry.py), not by an erasure.
    Personal(
        "identity_documents",
        "papers of performers",
        _FILED,
        f"performer_id kind issuer expire_date {_REVIEWED}",
        "identity_document_id organisation_id state told",
        Keep(_RECORDS, 7, "submit_time"),
    ),
    Personal(
        "releases",
        "consents of performers",
        _FILED,
        f"performer_id sign_date expire_date withdraw_time {_REVIEWED}",
        "release_id production_id organisation_id state told",
        Keep(_RECORDS, 7, "submit_time"),
        {"token_digest": "digest of a token"},
    ),
    Personal(
        "productions",
        "who is seen in which production",
        either(
            Match("(:scope = '' OR organisation_id = :scope) AND :name = ANY(performer_ids)"),
            actor("submitter"),
            actor("reviewer"),
        ),
        f"title production_date {_REVIEWED}",
        "production_id organisation_id version asset_ids urls state",
        Keep(_RECORDS, 7, "submit_time"),
        {"performer_ids": "others are named too"},
    ),
    Personal(
        "record_openings",
        "who looked at papers of performers",
        actor("actor"),
        "record_id actor open_time",
        "",
        Keep(_RECORDS, 7, "open_time"),
    ),
    Personal(
        "performers",
        "performers",
        person("performer_id"),
        "performer_id create_time",
        "organisation_id",
        Keep(_RECORDS, 7, "create_time"),
        {"sealed_key": "a key", "sealed": "sealed; shown to the custodian of records only"},
    ),
)
_PERFORMERS_FREE: Final = (
    Free(
        "record_copies",
        "keys of sealed copies of papers; each goes with its paper",
        "record_id organisation_id sealed_key sha256 media_type named create_time",
    ),
    Free(
        "records_settings",
        "the statement that 28 CFR 75.6 asks for, as the organisation publishes it",
        "organisation_id records_required custodian custodian_title street_address settle_after change_time",
    ),
    Free("recorded_assets", "whose films are whose", "asset_id organisation_id deleted delete_time"),
    Free("asset_consents", "what was announced of films", "asset_id organisation_id state named change_time"),
)
_AGE: Final = (
    Personal(
        "age_checks",
        "checks of an age that were begun",
        person("viewer_id"),
        "check_id viewer_id device_id provider method threshold state failure create_time expire_time",
        "organisation_id return_path",
        Delete(),
        {"nonce_hash": "digest of a nonce", "sealed": "sealed; the provider's own"},
    ),
    Personal(
        "age_proofs",
        "that an age was proved, without the proof",
        person("viewer_id"),
        "viewer_id method proof_id provider threshold device_id prove_time expire_time revoke_time",
        "organisation_id",
        Delete(),
        {"nonce_hash": "digest of a nonce"},
    ),
)
_AGE_FREE: Final = (
    Free("age_used", "digests of proofs, so that none counts twice", "digest until_time"),
    Free("jurisdiction_tables", "rules by place", "organisation_id version rules comment create_time"),
    Free("title_classifications", "ratings of films", "organisation_id asset_id version classification change_time"),
)
_NOTICES: Final = (
    Personal(
        "notice_cases",
        "notices about what the person uploaded, or decided about",
        either(actor("uploader"), Match(":scope = '' AND 'user/' || :name = ANY(deciders)")),
        "notice_id uploader receive_time decide_time",
        "organisation_id category asset_id language rules_date kind state territories standing action automated explanation late appellant"
        " change_time due_time remind_time escalate_time restore_after restore_before answer_before next_time erase_time",
        Blank(
            {
                "uploader": f"CASE WHEN uploader = 'user/' || :name THEN '{NOBODY}' ELSE uploader END",
                "deciders": f"array_replace(deciders, 'user/' || :name, '{NOBODY}')",
            }
        ),
        {"deciders": "who of staff decided"},
    ),
    Personal(
        "notice_steps",
        "who of staff did what about notices",
        actor("actor"),
        "notice_id actor step_time",
        "position deed comment state",
        Blank({"actor": f"'{NOBODY}'"}),
    ),
    Personal(
        "notice_infringements",
        "infringements that were counted",
        actor("uploader"),
        "notice_id uploader count_time",
        "organisation_id",
        Delete(),
    ),
    Personal(
        "notice_titles",
        "which films the person uploaded",
        actor("uploader"),
        "asset_id title uploader",
        "organisation_id title_time",
        Blank({"uploader": f"'{NOBODY}'"}),
    ),
    Personal(
        "notice_writings",
        "what people wrote in notices, sealed; they may have no account, and reach it by the links of their letters",
        Match("FALSE"),
        "sealed",
        "notice_id part",
        Fades("some time after the case is over, which the rules of notices set"),
    ),
    Personal(
        "notice_letters",
        "sealed letters to people of notices, gone once they are handed over",
        Match("FALSE"),
        "sealed",
        "message_id tries next_try_time expire_time",
        Fades("within days"),
    ),
)
_NOTICES_FREE: Final = (
    Free(
        "notice_statements",
        "statements of reasons, which hold no personal data (DSA art. 24(5))",
        "statement_id notice_id organisation_id statement create_time",
    ),
    Free("notice_packages", "packages of films", "package_id asset_id"),
    Free("notice_desks", "the organisation's own desk", "organisation_id sealed_email time_zone holidays weekend"),
    Free("attempts", "counts by keyed digests, gone within a day", "key failures blocked_until forget_time"),
)
_ANCHORING: Final = (
    Free(
        "anchors",
        "anchors of what the log signed",
        "anchor_id anchor tree_size root note begin_time confirm_time transaction_hash block_number block_hash",
    ),
    Free(
        "anchor_transactions",
        "transactions of the install's own address",
        "chain_id sender nonce attempt anchor_id transaction_hash raw gas max_fee tip create_time seen_block_hash lost",
    ),
    Free("anchor_timestamps", "OpenTimestamps proofs", "anchor_id content"),
    Free("anchor_troubles", "what is in the way of anchoring", "anchor trouble begin_time"),
)

DECLARATION: Final = Declaration(
    # Papers before whom they are of: the order in which rows are removed.
    personal=(*_PERFORMERS, *_AGE, *_NOTICES, *_RIGHTS),
    free=(
        *_LOG,
        *_PERFORMERS_FREE,
        *_AGE_FREE,
        *_NOTICES_FREE,
        *_ANCHORING,
        Free("rights_receipts", "tables and counts", "data_request_id round service receipt done_time"),
        Free(
            "rights_limits",
            "what may not be done with the data of whom, by a keyed digest",
            "subject_digest limits change_time",
        ),
    ),
)
