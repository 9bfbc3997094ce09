"""Refusals about leaks, as `protection.proto` lists them."""

from __future__ import annotations

import grpc

from services.kit.errors import RPC_DOMAIN, Refusal
from services.protection.refusals import DOMAIN

_NOT_FOUND = grpc.StatusCode.NOT_FOUND
_PRECONDITION = grpc.StatusCode.FAILED_PRECONDITION


def _refusal(code: grpc.StatusCode, reason: str, message: str, **metadata: str) -> Refusal:
    return Refusal(code, reason, message, domain=DOMAIN, metadata=metadata)


def invalid(field: str, message: str) -> Refusal:
    """A request breaks its contract in a way that its contract cannot say."""
    return Refusal(
        grpc.StatusCode.INVALID_ARGUMENT,
        "REQUEST_INVALID",
        f"{field}: {message}",
        domain=RPC_DOMAIN,
        fields=[(field, message)],
    )


def case_not_found(case_id: str) -> Refusal:
    """There is no such case."""
    return _refusal(
        _NOT_FOUND,
        "LEAK_CASE_NOT_FOUND",
        "there is no such case of a leak; it belongs to another organisation",
        case_id=case_id,
    )


def case_closed(case_id: str) -> Refusal:
    """A case is closed."""
    return _refusal(
        _PRECONDITION,
        "LEAK_CASE_CLOSED",
        "the case is closed; report the place again to have a new one",
        case_id=case_id,
    )


def evidence_not_found(evidence_id: str) -> Refusal:
    """There is no such evidence."""
    return _refusal(
        _NOT_FOUND,
        "LEAK_EVIDENCE_NOT_FOUND",
        "there is no such evidence; it belongs to another organisation",
        evidence_id=evidence_id,
    )


def evidence_damaged(evidence_id: str) -> Refusal:
    """What is stored is not what was preserved."""
    return _refusal(
        grpc.StatusCode.DATA_LOSS,
        "LEAK_EVIDENCE_DAMAGED",
        "the stored bytes are gone or do not have the SHA-256 that was taken of them; bring the object store's backup back",
        evidence_id=evidence_id,
    )


def action_not_found(action_id: str) -> Refusal:
    """There is no such action."""
    return _refusal(
        _NOT_FOUND,
        "LEAK_ACTION_NOT_FOUND",
        "there is no such action; it belongs to somebody else",
        action_id=action_id,
    )


def action_state_wrong(state: str) -> Refusal:
    """An action stands where that cannot be decided."""
    return _refusal(
        _PRECONDITION,
        "LEAK_ACTION_STATE_WRONG",
        f"the action is {state.lower().replace('_', ' ')}; proposals can be approved or rejected, what was approved can be reversed",
        state=state,
    )


def second_person_needed(action_id: str) -> Refusal:
    """Somebody else has to decide."""
    return _refusal(
        _PRECONDITION,
        "LEAK_SECOND_PERSON_NEEDED",
        "you approved this already; somebody else has to decide",
        action_id=action_id,
    )


def appeal_impossible(action_id: str) -> Refusal:
    """Nothing can be appealed, or there is nothing to decide."""
    return _refusal(
        _PRECONDITION,
        "LEAK_APPEAL_IMPOSSIBLE",
        "there can be one appeal, against what holds, within its time; and one decision of it",
        action_id=action_id,
    )


def crawler_not_found(crawler_id: str) -> Refusal:
    """There is no such crawler."""
    return _refusal(
        _NOT_FOUND,
        "LEAK_CRAWLER_NOT_FOUND",
        "there is no such crawler; it belongs to another organisation",
        crawler_id=crawler_id,
    )


def finding_unsigned() -> Refusal:
    """A finding is nobody's who may post them. Does not say what is wrong with it."""
    return _refusal(
        grpc.StatusCode.UNAUTHENTICATED,
        "LEAK_FINDING_UNSIGNED",
        "the finding is not signed by the key of a crawler that is let in, or not within the last five minutes",
    )


def finding_invalid(why: str) -> Refusal:
    """A finding is not what it should be."""
    return _refusal(grpc.StatusCode.INVALID_ARGUMENT, "LEAK_FINDING_INVALID", f"the finding is wrong: {why}")


def notifier_missing() -> Refusal:
    """Nobody said in whose name notices are written."""
    return _refusal(
        _PRECONDITION,
        "TAKEDOWN_NOTIFIER_MISSING",
        "nobody said in whose name notices are written; call SetTakedownNotifier first",
    )


def takedown_not_found(takedown_id: str) -> Refusal:
    """There is no such notice."""
    return _refusal(
        _NOT_FOUND,
        "TAKEDOWN_NOT_FOUND",
        "there is no such notice; it belongs to another organisation",
        takedown_id=takedown_id,
    )


def takedown_state_wrong(state: str) -> Refusal:
    """A notice stands where that cannot happen."""
    return _refusal(
        _PRECONDITION,
        "TAKEDOWN_STATE_WRONG",
        f"the notice is {state.lower().replace('_', ' ')}, from where that cannot happen",
        state=state,
    )


def signature_wrong() -> Refusal:
    """The typed name is not the signatory's."""
    return _refusal(
        grpc.StatusCode.INVALID_ARGUMENT,
        "TAKEDOWN_SIGNATURE_WRONG",
        "type the signatory's full name exactly as the notice names it",
    )


def url_missing(case_id: str) -> Refusal:
    """A case has no URL."""
    return _refusal(
        _PRECONDITION,
        "TAKEDOWN_URL_MISSING",
        "the case has no URL that a platform could remove; report the place with one",
        case_id=case_id,
    )
