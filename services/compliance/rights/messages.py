"""Requests and holds as the contract has them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from reelmesh.compliance.v1 import rights_pb2
from reelmesh.rpc.v1 import personal_data_service_pb2 as personal

from services.compliance.rights.domain import DataRequest
from services.compliance.rights.holds import Hold
from services.kit.clock import timestamp

Receipts = Sequence[tuple[int, rights_pb2.ServiceReceipt]]
_STAYS: Final = personal.ERASURE_ACTION_KEPT


def request_message(request: DataRequest, receipts: Receipts, hold_ids: Sequence[str]) -> rights_pb2.DataRequest:
    """A request with what each service did."""
    return rights_pb2.DataRequest(
        data_request_id=request.data_request_id,
        kind=rights_pb2.DataRequestKind.ValueType(int(request.kind)),
        state=rights_pb2.DataRequestState.ValueType(int(request.state)),
        subject=None if request.subject is None else request.subject.message(),
        limits=[personal.ProcessingLimit.ValueType(one) for one in request.limits],
        lift=request.lift,
        proof=rights_pb2.IdentityProof.ValueType(int(request.proof)),
        actor=request.actor,
        receive_time=timestamp(request.receive_time),
        due_time=timestamp(request.due_time),
        extend_reason=request.extend_reason,
        end_time=timestamp(request.end_time),
        refuse_reason=request.refuse_reason,
        hold_ids=hold_ids,
        receipts=_merged(receipts),
        keep_until_time=timestamp(request.keep_until),
    )


def hold_message(hold: Hold) -> rights_pb2.LegalHold:
    """A hold."""
    return rights_pb2.LegalHold(
        hold_id=hold.hold_id,
        subject=None if hold.subject is None else hold.subject.message(),
        asset_id=hold.asset_id,
        ground=hold.ground,
        actor=hold.actor,
        place_time=timestamp(hold.place_time),
        release_time=timestamp(hold.release_time),
        release_reason=hold.release_reason,
    )


def _merged(receipts: Receipts) -> list[rights_pb2.ServiceReceipt]:
    """One receipt of each service: what was removed in all rounds, and what was kept in the last."""
    merged: dict[str, rights_pb2.ServiceReceipt] = {}
    for _, receipt in receipts:
        before = merged.get(receipt.service)
        after = rights_pb2.ServiceReceipt()
        after.CopyFrom(receipt)
        for table in before.tables if before is not None else ():
            if table.action == _STAYS:
                continue
            same = [one for one in after.tables if (one.table, one.action) == (table.table, table.action)]
            if same:
                same[0].row_count += table.row_count
            else:
                after.tables.add().CopyFrom(table)
        merged[receipt.service] = after
    return list(merged.values())
