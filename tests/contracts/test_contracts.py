"""Rules of the contracts that buf cannot see."""

from __future__ import annotations

import re
from collections.abc import Iterator

import grpc
import pytest

from tools.openapi.contracts import Contracts, Field, Message, Method, Service

OWN = "reelmesh."
TYPE_ID = re.compile(r"^\^\(?(?P<prefix>[a-z]{3})_\[0-7\]\[0-9a-hjkmnp-tv-z\]\{25\}(\)\?)?\$$")
PREFIXES = {
    "account_id": "usr",
    "asset_id": "ast",
    "authorization_id": "aut",
    "case_id": "rcs",
    "corrects_invoice_id": "inv",
    "device_authorization_id": "dva",
    "data_request_id": "drq",
    "decision_id": "dec",
    "checkout_id": "chk",
    "detection_id": "dtc",
    "match_id": "mtc",
    "anchor_id": "anc",
    "hold_id": "hld",
    "device_id": "dev",
    "age_check_id": "agc",
    "entitlement_id": "ent",
    "entry_id": "jnl",
    "event_id": "evt",
    "identity_document_id": "idd",
    "escrow_id": "esc",
    "invoice_id": "inv",
    "job_id": "job",
    "kek_id": "kek",
    "keyed_content_id": "kct",
    "licence_id": "lic",
    "offer_id": "off",
    "promotion_id": "prm",
    "organisation_id": "org",
    "message_id": "msg",
    "new_package_id": "pkg",
    "next_plan_id": "pln",
    "package_id": "pkg",
    "packager_id": "pkr",
    "passkey_id": "pky",
    "payout_batch_id": "pbt",
    "payout_id": "pyo",
    "performer_id": "pfm",
    "performer_ids": "pfm",
    "asset_ids": "ast",
    "plan_id": "pln",
    "production_id": "prd",
    "release_id": "rel",
    "phone_verification_id": "phv",
    "profile_id": "prf",
    "provider_id": "idp",
    "refund_id": "rfd",
    "registration_id": "reg",
    "replaced_package_id": "pkg",
    "reset_id": "rst",
    "reverses_entry_id": "jnl",
    "review_copy_id": "rvc",
    "revocation_id": "rvk",
    "sale_id": "sal",
    "rotation_id": "rot",
    "notice_id": "ntc",
    "signal_id": "sig",
    "statement_id": "sor",
    "title_asset_id": "ast",
    "subscription_id": "sub",
    "session_id": "pbs",
    "sign_in_id": "sgn",
    "upload_id": "upl",
    "use_id": "kus",
    "webhook_event_id": "whe",
    "action_id": "lka",
    "crawler_id": "lkw",
    "evidence_id": "lke",
    "takedown_id": "tkd",
}
# Where a domain's ids are of its own kind.
PREFIXES_OF = {"identity": {"session_id": "ses"}, "protection": {"case_id": "lkc"}}
# Ids that are not ours to make, of the caller's own making or of a standard's; those of roles, of which some are words; and many at once.
OTHER_IDS = {
    "buyer_id",
    "client_id",
    "content_id",
    "correlation_id",
    "creator_id",
    "owner_id",
    "processor_account_id",
    "record_id",
    "dropped_key_ids",
    "hold_ids",
    "request_id",
    "role_id",
    "role_ids",
    "target_id",
    "viewer_id",
    "key_id",
    "key_ids",
    "package_ids",
    "twin_asset_ids",
    "root_id",
    "dropped_root_ids",
}
# What is not a service with a contract of its own, but calls services.
GATEWAYS: set[str] = {"limits", "oauth", "webhooks"}
PERMISSION = re.compile(r"[a-z_]+\.[a-z_]+")
CODES = {code.name for code in grpc.StatusCode}


def own_messages(contracts: Contracts) -> Iterator[Message]:
    """Messages of our own, without the hidden ones behind maps."""
    return (message for name, message in contracts.messages.items() if name.startswith(OWN) and not message.entry)


def request_fields(contracts: Contracts) -> Iterator[tuple[Method, Field]]:
    """Each field of each request, with the method it belongs to."""
    return ((method, field) for method in contracts.methods() for field in contracts.messages[method.request].fields)


def is_internal(method: Method) -> bool:
    """Whether only services of the mesh may call it."""
    return "internal" in method.access


def test_each_service_is_in_the_package_of_its_domain(contracts: Contracts) -> None:
    services = [service for service in contracts.services.values() if service.name.startswith(OWN)]
    assert {service.package for service in services} == {
        f"reelmesh.{domain}.v1"
        for domain in (
            "assets",
            "compliance",
            "drm",
            "identity",
            "notifications",
            "packaging",
            "payments",
            "policy",
            "protection",
            "rpc",
            "transcode",
            "upload",
        )
    }
    for service in services:
        assert re.fullmatch(re.escape(service.package) + r"\.[A-Z][A-Za-z]+Service", service.name)


def test_every_method_says_who_may_call_it(contracts: Contracts) -> None:
    for method in contracts.methods():
        assert len(method.access) == 1, method.name
        (rule,) = method.access.items()
        match rule:
            case ("permission", permission):
                assert PERMISSION.fullmatch(permission), method.name
            case ("bearer_in_request", said):
                assert said is True, method.name
                assert "credential" in method.comment, (
                    f"{method.name} does not say which credential the request carries"
                )
            case ("internal", internal):
                assert internal["callers"], method.name
            case ("public" | "person", said):
                assert said is True, method.name
            case _:
                pytest.fail(f"{method.name}: {rule}")


def test_only_services_that_exist_are_let_in_as_callers(contracts: Contracts) -> None:
    domains = {service.package.split(".")[1] for service in contracts.services.values()}
    for method in contracts.methods():
        if is_internal(method):
            assert set(method.access["internal"]["callers"]) <= domains | GATEWAYS, method.name


def test_every_change_can_be_repeated_safely(contracts: Contracts) -> None:
    """By `request_id`, or because it is idempotent by nature. A one-time code and an SPC are the exceptions: each works once."""
    for method in contracts.methods():
        fields = {field.name for field in contracts.messages[method.request].fields}
        ways = [
            method.reads,
            method.idempotent,
            "request_id" in fields,
            method.name in {"RedeemPlaybackCode", "AcquireFairPlayLicence"},
        ]
        assert sum(ways) == 1, method.name


def test_every_request_id_has_a_length(contracts: Contracts) -> None:
    for method, field in request_fields(contracts):
        if field.name == "request_id":
            assert field.rules["string"] == {"min_len": "8", "max_len": "128"}, method.name


def test_names_tell_what_only_reads(contracts: Contracts) -> None:
    for method in contracts.methods():
        reading = method.name.startswith(("Get", "List", "Watch", "Authorize", "BatchAuthorize"))
        # Handing a key out is recorded, so it is more than reading.
        assert method.reads == (reading and method.name != "GetHlsKey"), method.name


def test_every_list_comes_in_pages(contracts: Contracts) -> None:
    lists = [method for method in contracts.methods() if method.name.startswith("List")]
    assert lists
    for method in lists:
        request, response = contracts.messages[method.request], contracts.messages[method.response]
        assert request.field("page_size").rules["int32"] == {"gte": 0, "lte": 200}, method.name
        assert request.field("page_token").rules["string"]["max_len"] == "1024", method.name
        assert response.field("next_page_token").kind == "TYPE_STRING", method.name
        assert [field.repeated for field in response.fields].count(True) == 1, method.name


def test_every_id_in_a_request_has_its_form(contracts: Contracts) -> None:
    """A prefix and a TypeID suffix (Crockford's base 32, 26 digits, the first at most 7)."""
    for method, field in request_fields(contracts):
        if not field.name.endswith(("_id", "_ids")) or field.name in OTHER_IDS:
            continue
        form = TYPE_ID.match(field.rules.get("string", {}).get("pattern", ""))
        assert form, f"{method.name}: {field.name}"
        prefixes = PREFIXES | PREFIXES_OF.get(method.service.split(".")[1], {})
        assert form["prefix"] == prefixes[field.name], f"{method.name}: {field.name}"


def test_an_id_is_named_after_what_it_is_of(contracts: Contracts) -> None:
    known = set(PREFIXES) | OTHER_IDS
    for message in own_messages(contracts):
        for field in message.fields:
            if field.name.endswith(("_id", "_ids")):
                assert field.name in known, f"{message.name}: {field.name}"


def test_every_reason_tells_its_status_and_its_metadata(contracts: Contracts) -> None:
    domains = [name for name in contracts.enums if name.startswith(OWN) and name.endswith(".ErrorReason")]
    assert len(domains) == 12
    for name in domains:
        enum = contracts.enums[name]
        domain = f"{name.split('.')[1]}.reelmesh"
        assert f"`domain` = `{domain}`" in enum.comment, name
        (unspecified, said), *reasons = enum.values
        assert (unspecified, said) == ("ERROR_REASON_UNSPECIFIED", "Never sent.")
        for reason, comment in reasons:
            if "never refused with" in comment:
                continue
            status = re.search(r"Status ([A-Z_]+)", comment)
            assert status, f"{domain}: {reason} does not tell its status"
            assert status[1] in CODES, f"{domain}: {reason}"
            told = re.search(r"Metadata: `|No metadata\.|BadRequest", comment)
            assert told, f"{domain}: {reason} does not tell its metadata"


def test_reasons_of_one_domain_are_not_those_of_all(contracts: Contracts) -> None:
    """What any method may answer with stands in rpc and nowhere else."""
    common = {name for name, _ in contracts.enums["reelmesh.rpc.v1.ErrorReason"].values} - {"ERROR_REASON_UNSPECIFIED"}
    for name, enum in contracts.enums.items():
        if name.startswith(OWN) and name.endswith(".ErrorReason") and name != "reelmesh.rpc.v1.ErrorReason":
            assert not common & {value for value, _ in enum.values}, name


def test_every_method_for_people_can_be_called_by_rest(contracts: Contracts) -> None:
    for method in contracts.methods():
        assert (method.binding is None) == is_internal(method), method.name


def test_rest_verbs_fit_what_methods_do(contracts: Contracts) -> None:
    for method in contracts.methods():
        if method.binding is None:
            continue
        verb, path = method.binding
        ticket = method.access.get("bearer_in_request") and "{ticket}" in path
        assert path.startswith("/p/" if ticket else "/v1/")
        assert (verb == "get") == (method.reads or method.name == "GetHlsKey"), method.name
        assert ("body" in method.http) == (verb in {"post", "put", "patch"}), method.name


def test_no_two_methods_share_a_path(contracts: Contracts) -> None:
    bindings = [
        (method.binding[0], re.sub(r"\{[^}]+\}", "{}", method.binding[1]))
        for method in contracts.methods()
        if method.binding
    ]
    assert len(bindings) == len(set(bindings))


def test_only_uploads_stream_requests(contracts: Contracts) -> None:
    """Browsers cannot; and a stream of requests cannot carry a `request_id` for each."""
    assert [method.name for method in contracts.methods() if method.client_streaming] == ["WriteUpload"]


def test_every_method_has_a_request_and_a_response_of_its_own(contracts: Contracts) -> None:
    for method in contracts.methods():
        package = method.service.rpartition(".")[0]
        assert method.request == f"{package}.{method.name}Request"
        assert method.response == f"{package}.{method.name}Response"


def test_events_are_in_the_past_and_name_their_subject(contracts: Contracts) -> None:
    events = [message for message in own_messages(contracts) if message.file.endswith("/events.proto")]
    used = {field.type_name for event in events for field in event.fields}
    subjects = 0
    for event in events:
        subject = re.search(r"Subject `([A-Za-z0-9_.]+)`\.$", event.comment)
        if event.name in used:
            assert subject is None, f"{event.name} is a part of an event, not one"
            continue
        assert subject, f"{event.name} does not end with its subject"
        assert subject[1].removeprefix("progress.") == event.name
        assert re.search(r"(ed|Held|Withdrawn|TakenDown|Ready)$", event.name), f"{event.name} is not in the past"
        subjects += 1
    assert subjects >= 10


def test_no_event_carries_a_secret(contracts: Contracts) -> None:
    for message in own_messages(contracts):
        if message.file.endswith("/events.proto"):
            for field in message.fields:
                assert not re.search(r"^(key|iv|ticket|code|token|url|.*_url|secret)$", field.name), (
                    f"{message.name}: {field.name}"
                )
                assert field.kind != "TYPE_BYTES", f"{message.name}: {field.name}"


def test_nothing_is_declared_that_nothing_uses(contracts: Contracts) -> None:
    """A message is a request, a response, an event, an option, or a part of one of them; an enum is a part of one, or the reasons."""
    used = {name for method in contracts.methods() for name in (method.request, method.response)}
    used |= {
        message.name
        for message in own_messages(contracts)
        if message.file.endswith("/events.proto") and "Subject `" in message.comment
    }
    used |= {"reelmesh.rpc.v1.Access"}
    waiting = list(used)
    while waiting:
        for field in contracts.messages.get(waiting.pop(), Message("", "", "", [], entry=False)).fields:
            if field.type_name and field.type_name not in used:
                used.add(field.type_name)
                waiting.append(field.type_name)
    declared = {message.name for message in own_messages(contracts)}
    declared |= {name for name in contracts.enums if name.startswith(OWN) and not name.endswith(".ErrorReason")}
    assert declared - used == set()


def test_times_and_spans_have_their_types_and_names(contracts: Contracts) -> None:
    for message in own_messages(contracts):
        for field in message.fields:
            is_time = field.type_name == "google.protobuf.Timestamp"
            assert field.name.endswith("_time") == is_time, f"{message.name}: {field.name}"
            if re.search(r"duration|lifetime|interval", field.name):
                assert field.type_name == "google.protobuf.Duration", f"{message.name}: {field.name}"


def test_every_field_says_what_it_is(contracts: Contracts) -> None:
    """In a sentence: buf asks for a comment, this for one that says something."""
    for message in own_messages(contracts):
        for field in message.fields:
            assert field.comment.endswith("."), f"{message.name}: {field.name}"
            assert field.comment[0].isupper() or field.comment[0] in "`1", f"{message.name}: {field.name}"


def test_every_text_in_a_request_has_a_limit(contracts: Contracts) -> None:
    for method, field in request_fields(contracts):
        if field.kind == "TYPE_STRING":
            rules = field.rules.get("repeated", {}).get("items", field.rules).get("string", {})
            assert rules.keys() & {"max_len", "pattern", "in"}, f"{method.name}: {field.name}"
        if field.repeated:
            rules = field.rules.get("map") or field.rules["repeated"]
            assert rules.keys() & {"max_items", "max_pairs"}, f"{method.name}: {field.name}"


def test_services_are_told_apart_from_their_methods(contracts: Contracts) -> None:
    for service in contracts.services.values():
        assert isinstance(service, Service)
        assert service.comment, service.name
        assert [method.comment for method in service.methods if not method.comment] == []
