"""Every refusal of this domain: what is wrong, and how to mend it. Reasons and metadata are those of `compliance.proto`."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

import grpc

from services.kit.errors import RPC_DOMAIN, Refusal

DOMAIN: Final = "compliance.reelmesh"


def leaf_not_found(leaf: str) -> Refusal:
    """No such leaf, or another organisation's."""
    return Refusal(
        grpc.StatusCode.NOT_FOUND,
        "LEAF_NOT_FOUND",
        f"there is no leaf {leaf} that you may see; check the id, or wait a moment if the event has just happened",
        domain=DOMAIN,
        metadata={"leaf": leaf},
    )


def tree_size_invalid(tree_size: int) -> Refusal:
    """A proof in a tree that is not there."""
    return Refusal(
        grpc.StatusCode.OUT_OF_RANGE,
        "TREE_SIZE_INVALID",
        f"the log has {tree_size} leaves; ask for a size that it has grown to, and that the leaf or the smaller tree is in",
        domain=DOMAIN,
        metadata={"tree_size": str(tree_size)},
    )


def checkpoint_not_found(tree_size: int) -> Refusal:
    """No such checkpoint is kept."""
    return Refusal(
        grpc.StatusCode.NOT_FOUND,
        "CHECKPOINT_NOT_FOUND",
        "no such checkpoint is kept; ask for the latest, for another size, or for fewer cosignatures",
        domain=DOMAIN,
        metadata={"tree_size": str(tree_size)},
    )


def cosignature_invalid() -> Refusal:
    """Nothing of what was sent is a good cosignature."""
    return Refusal(
        grpc.StatusCode.INVALID_ARGUMENT,
        "COSIGNATURE_INVALID",
        "no line is a good cosignature of this checkpoint by a witness that this log knows; check the size, and that the operator set the witness's key",
        domain=DOMAIN,
    )


def slot_not_found(asset_id: str) -> Refusal:
    """Nothing was uploaded for the asset, as far as the log has come."""
    return Refusal(
        grpc.StatusCode.NOT_FOUND,
        "SLOT_NOT_FOUND",
        f"no content was uploaded for {asset_id}, or it has not reached the log yet; check the id, or try again in a moment",
        domain=DOMAIN,
        metadata={"asset_id": asset_id},
    )


def operator_only() -> Refusal:
    """Records of all organisations."""
    return Refusal(
        grpc.StatusCode.PERMISSION_DENIED,
        "OPERATOR_ONLY",
        "the records of all organisations are shown to the operator's key of this install only; ask for those of your own",
        domain=DOMAIN,
    )


def notice_element_missing(wrong: Sequence[tuple[str, str]], rules_date: str) -> Refusal:
    """Something has to be said; each element by its field, with what is wrong with it."""
    return Refusal(
        grpc.StatusCode.INVALID_ARGUMENT,
        "NOTICE_ELEMENT_MISSING",
        "the rules ask for more: " + "; ".join(f"{name}: {why}" for name, why in wrong),
        domain=DOMAIN,
        metadata={"element": wrong[0][0].rpartition(".")[2], "rules_date": rules_date},
        fields=wrong,
    )


def notice_material_unknown() -> Refusal:
    """Nothing here is at that location."""
    return Refusal(
        grpc.StatusCode.NOT_FOUND,
        "NOTICE_MATERIAL_UNKNOWN",
        "nothing of this platform is at that location; open the page where you saw it, and copy its whole address",
        domain=DOMAIN,
        fields=[("location", "nothing here is at this location; copy the whole address of the page")],
    )


def notice_not_found(notice_id: str) -> Refusal:
    """None in the caller's organisation."""
    return Refusal(
        grpc.StatusCode.NOT_FOUND,
        "NOTICE_NOT_FOUND",
        f"there is no notice {notice_id} that you may see; ListNotices shows those that there are",
        domain=DOMAIN,
        metadata={"notice_id": notice_id},
    )


def notice_link_invalid() -> Refusal:
    """Says no more than that, whatever is wrong with it."""
    return Refusal(
        grpc.StatusCode.PERMISSION_DENIED,
        "NOTICE_LINK_INVALID",
        "this link is not valid; open the one of the last message as a whole, and write to us if its case is long over",
        domain=DOMAIN,
    )


def notice_wrong_state(state: str, deed: str) -> Refusal:
    """As it stands, that cannot be done."""
    return Refusal(
        grpc.StatusCode.FAILED_PRECONDITION,
        "NOTICE_WRONG_STATE",
        f"a notice that is {state} cannot have {deed}; look at where it stands, and at what can be done then",
        domain=DOMAIN,
        metadata={"state": state, "deed": deed},
    )


def notice_second_person_needed(notice_id: str) -> Refusal:
    """Whoever decides first does not decide about the appeal."""
    return Refusal(
        grpc.StatusCode.PERMISSION_DENIED,
        "NOTICE_SECOND_PERSON_NEEDED",
        "you decided about this notice; somebody else has to decide about the appeal",
        domain=DOMAIN,
        metadata={"notice_id": notice_id},
    )


def notice_term_running(restore_after: datetime) -> Refusal:
    """A counter-notice waits for a suit."""
    moment = restore_after.strftime("%Y-%m-%dT%H:%M:%SZ")
    return Refusal(
        grpc.StatusCode.FAILED_PRECONDITION,
        "NOTICE_TERM_RUNNING",
        f"after the counter-notice the material comes back by itself at {moment}, unless a suit is noticed; wait until then",
        domain=DOMAIN,
        metadata={"restore_after_time": moment},
    )


def notice_answer_too_late(end: datetime) -> Refusal:
    """The time to appeal is over."""
    moment = end.strftime("%Y-%m-%dT%H:%M:%SZ")
    return Refusal(
        grpc.StatusCode.FAILED_PRECONDITION,
        "NOTICE_ANSWER_TOO_LATE",
        f"the decision could be appealed until {moment}; a court may still look at it",
        domain=DOMAIN,
        metadata={"end_time": moment},
    )


def notices_too_many(wait: timedelta) -> Refusal:
    """One network, or one address, has had enough for now."""
    return Refusal(
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        "NOTICES_TOO_MANY",
        f"too many notices came from you; send the next one in {round(wait.total_seconds())} s",
        domain=DOMAIN,
        retry_after=wait,
    )


def notice_report_period_invalid(why: str) -> Refusal:
    """The report has no such period."""
    return Refusal(
        grpc.StatusCode.INVALID_ARGUMENT,
        "NOTICE_REPORT_PERIOD_INVALID",
        why,
        domain=DOMAIN,
        fields=[("end_time", why)],
    )


def notice_desk_invalid(field: str, why: str) -> Refusal:
    """A desk that cannot be."""
    return Refusal(grpc.StatusCode.INVALID_ARGUMENT, "REQUEST_INVALID", why, domain=RPC_DOMAIN, fields=[(field, why)])


def anchor_not_found(anchor_id: str) -> Refusal:
    """No such anchor."""
    return Refusal(
        grpc.StatusCode.NOT_FOUND,
        "ANCHOR_NOT_FOUND",
        f"there is no anchor {anchor_id}; list those that there are, and check the id",
        domain=DOMAIN,
        metadata={"anchor_id": anchor_id},
    )


def anchor_without_file(anchor_id: str) -> Refusal:
    """An anchor that has no file, or none yet."""
    return Refusal(
        grpc.StatusCode.FAILED_PRECONDITION,
        "ANCHOR_WITHOUT_FILE",
        f"{anchor_id} has no file: only anchors by OpenTimestamps have one, once a calendar has taken them",
        domain=DOMAIN,
        metadata={"anchor_id": anchor_id},
    )
