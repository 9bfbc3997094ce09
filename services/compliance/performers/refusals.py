"""Every refusal about records of performers: what is wrong, and how to mend it. Reasons and metadata are those of `compliance.proto`."""

from __future__ import annotations

import grpc

from services.compliance.refusals import DOMAIN
from services.kit.errors import RPC_DOMAIN, Refusal


def _refusal(code: grpc.StatusCode, reason: str, message: str, **metadata: str) -> Refusal:
    return Refusal(code, reason, message, domain=DOMAIN, metadata=metadata)


def _not_now(reason: str, message: str, **metadata: str) -> Refusal:
    return _refusal(grpc.StatusCode.FAILED_PRECONDITION, reason, message, **metadata)


def request_invalid(field: str, why: str) -> Refusal:
    """A field holds what cannot be taken."""
    message = f"{field}: {why}"
    return Refusal(
        grpc.StatusCode.INVALID_ARGUMENT, "REQUEST_INVALID", message, domain=RPC_DOMAIN, fields=[(field, why)]
    )


def etag_mismatch(etag: str) -> Refusal:
    """Somebody else was faster."""
    message = "the production changed since it was read; read it again and decide anew"
    return Refusal(grpc.StatusCode.ABORTED, "ETAG_MISMATCH", message, domain=RPC_DOMAIN, metadata={"etag": etag})


def performer_not_found(performer_id: str) -> Refusal:
    """No such performer, or another organisation's."""
    message = f"there is no performer {performer_id}; ListPerformers shows those that there are"
    return _refusal(grpc.StatusCode.NOT_FOUND, "PERFORMER_NOT_FOUND", message, performer_id=performer_id)


def production_not_found(production_id: str) -> Refusal:
    """No such production, or another organisation's."""
    message = f"there is no production {production_id}; ListProductions shows those that there are"
    return _refusal(grpc.StatusCode.NOT_FOUND, "PRODUCTION_NOT_FOUND", message, production_id=production_id)


def record_not_found(record_id: str) -> Refusal:
    """No such document or release, or another organisation's."""
    message = f"there is no record {record_id}; GetPerformer and GetProduction show those that there are"
    return _refusal(grpc.StatusCode.NOT_FOUND, "RECORD_NOT_FOUND", message, record_id=record_id)


def under_age(performer_id: str, production_date: str) -> Refusal:
    """Somebody was not 18."""
    message = f"{performer_id} was not 18 on {production_date}; nobody who was not may be seen in a title"
    return _not_now("PERFORMER_UNDER_AGE", message, performer_id=performer_id, production_date=production_date)


def reviewer_is_submitter(record_id: str) -> Refusal:
    """One person is not two."""
    message = "you submitted this yourself; ask somebody else to review it"
    return _refusal(grpc.StatusCode.PERMISSION_DENIED, "REVIEWER_IS_SUBMITTER", message, record_id=record_id)


def not_opened(record_id: str) -> Refusal:
    """Who did not look cannot say."""
    message = "you have not opened this record; open it, look at it, and then say whether it is good"
    return _not_now("RECORD_NOT_OPENED", message, record_id=record_id)


def already_decided(record_id: str, state: str) -> Refusal:
    """A review is given once."""
    message = f"this record is {state.lower()} already; submit another if that is wrong"
    return _not_now("RECORD_ALREADY_DECIDED", message, record_id=record_id, state=state)


def birth_date_differs(performer_id: str) -> Refusal:
    """The document says something else. Which day was given is not told: the reviewer is to read it."""
    message = (
        "this is not the day of birth that was given of the performer; read the document again, and reject it if it is"
    )
    return _not_now("BIRTH_DATE_DIFFERS", message, performer_id=performer_id)


def record_expired(record_id: str, expire_date: str) -> Refusal:
    """The record's last day has ended."""
    message = f"this was good until {expire_date}; submit one that is good now"
    return _not_now("RECORD_EXPIRED", message, record_id=record_id, expire_date=expire_date)


def asset_unknown(asset_id: str) -> Refusal:
    """The asset is not there, or another organisation's: which of them is not told."""
    message = f"there is no asset {asset_id} here; check the id, and try again in a moment if it was just uploaded"
    return _not_now("RECORDED_ASSET_UNKNOWN", message, asset_id=asset_id)


def not_depicted(performer_id: str, production_id: str) -> Refusal:
    """A release is for somebody who is seen."""
    message = f"{production_id} does not name {performer_id}; add them to the production first"
    return _not_now("PERFORMER_NOT_DEPICTED", message, performer_id=performer_id, production_id=production_id)


def token_invalid() -> Refusal:
    """The token is unknown: whether it ever was good is not told."""
    message = "this link is not good, or another took its place; ask whoever gave it to you for a new one"
    return _refusal(grpc.StatusCode.PERMISSION_DENIED, "WITHDRAWAL_TOKEN_INVALID", message)


def statement_not_found(asset_id: str) -> Refusal:
    """Nothing to be shown yet, or ever."""
    message = f"there is no statement on {asset_id}: no approved production names it"
    return _refusal(grpc.StatusCode.NOT_FOUND, "RECORDS_STATEMENT_NOT_FOUND", message, asset_id=asset_id)


def custodian_not_set() -> Refusal:
    """Somebody has to keep the records."""
    message = (
        "nobody is named who keeps the records; set the custodian's name and street address first,"
        " by `reelmesh records custodian` or PUT /v1/records/settings"
    )
    return _not_now("CUSTODIAN_NOT_SET", message)


def copy_unreadable() -> Refusal:
    """The copy is no file of a kind that can be looked at."""
    message = "the copy is no PDF, JPEG or PNG file; send a scan or a photograph as one of these"
    return _refusal(grpc.StatusCode.INVALID_ARGUMENT, "COPY_UNREADABLE", message)


def copy_lost(record_id: str) -> Refusal:
    """The object store does not give back what was put into it."""
    message = "the copy that was kept is gone or was changed; restore the object store from a backup, or submit it anew"
    return _refusal(grpc.StatusCode.DATA_LOSS, "COPY_LOST", message, record_id=record_id)


def too_many_names(performer_id: str) -> Refusal:
    """There is an end to everything."""
    message = "a performer has at most 100 other names; leave out those that differ in writing only"
    return _not_now("TOO_MANY_NAMES", message, performer_id=performer_id)


def custodian_only() -> Refusal:
    """An identity document is nobody's business but the custodian's."""
    message = "identity documents are opened by the custodian only; have yourself given that role, which is recorded"
    return _refusal(grpc.StatusCode.PERMISSION_DENIED, "CUSTODIAN_ONLY", message)
