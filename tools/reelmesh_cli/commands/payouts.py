"""`reelmesh payouts …`: what creators are paid."""

from __future__ import annotations

import uuid
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tools.reelmesh_cli.connection import DataOption, UrlOption
from tools.reelmesh_cli.output import JsonOption, Output
from tools.reelmesh_cli.people import as_json, conversation, day, every, group, show

if TYPE_CHECKING:
    from reelmesh.payments.v1.payouts_service_pb2 import PayablePayee, Payout, PayoutBatch

    from tools.reelmesh_sdk import Client

app = group("What creators are paid.")

CurrencyArgument = Annotated[str, typer.Argument(metavar="CURRENCY", help="Such as EUR.")]
BatchArgument = Annotated[str, typer.Argument(metavar="BATCH", help="Id of the batch, pbt_…")]
PayoutArgument = Annotated[str, typer.Argument(metavar="PAYOUT", help="Id of the payout, pyo_…")]


class Form(Enum):
    """Form of a file."""

    PAIN = "pain"
    CSV = "csv"


@app.command()
def preview(
    currency: CurrencyArgument, data: DataOption = None, url: UrlOption = None, json: JsonOption = False
) -> None:
    """Shows what every creator would be paid now, and why not."""
    output = Output(json)

    async def talk(reelmesh: Client) -> list[PayablePayee]:
        from reelmesh.payments.v1.payouts_service_pb2 import ListPayablePayeesRequest

        request = ListPayablePayeesRequest(currency=currency.upper())
        return await every(reelmesh, reelmesh.payouts.ListPayablePayees, request, "payees")

    found = conversation(output, data, url, talk)
    output.result(payees=[as_json(one) for one in found])
    rows = [
        (
            one.creator_id,
            _amount(one.balance_minor_units, currency),
            _amount(one.payable_minor_units, currency),
            _why(one),
        )
        for one in found
    ]
    show(output, ("creator", "has", "is paid", "why not"), rows, "Nobody has earned anything in this currency.")


@app.command()
def prepare(
    currency: CurrencyArgument, data: DataOption = None, url: UrlOption = None, json: JsonOption = False
) -> None:
    """Makes a batch of what is payable. Somebody else has to approve it."""

    def request() -> Any:
        from reelmesh.payments.v1.payouts_service_pb2 import PreparePayoutBatchRequest

        return PreparePayoutBatchRequest(request_id=str(uuid.uuid4()), currency=currency.upper())

    _on_batch(Output(json), data, url, "PreparePayoutBatch", request)


@app.command()
def approve(batch: BatchArgument, data: DataOption = None, url: UrlOption = None, json: JsonOption = False) -> None:
    """Approves a batch that somebody else prepared: its money is on its way."""

    def request() -> Any:
        from reelmesh.payments.v1.payouts_service_pb2 import ApprovePayoutBatchRequest

        return ApprovePayoutBatchRequest(payout_batch_id=batch)

    _on_batch(Output(json), data, url, "ApprovePayoutBatch", request)


@app.command()
def cancel(batch: BatchArgument, data: DataOption = None, url: UrlOption = None, json: JsonOption = False) -> None:
    """Drops a batch that nobody approved."""

    def request() -> Any:
        from reelmesh.payments.v1.payouts_service_pb2 import CancelPayoutBatchRequest

        return CancelPayoutBatchRequest(payout_batch_id=batch)

    _on_batch(Output(json), data, url, "CancelPayoutBatch", request)


@app.command()
def send(batch: BatchArgument, data: DataOption = None, url: UrlOption = None, json: JsonOption = False) -> None:
    """Says that an approved batch is with the bank."""

    def request() -> Any:
        from reelmesh.payments.v1.payouts_service_pb2 import SendPayoutBatchRequest

        return SendPayoutBatchRequest(payout_batch_id=batch)

    _on_batch(Output(json), data, url, "SendPayoutBatch", request)


@app.command("list")
def list_batches(data: DataOption = None, url: UrlOption = None, json: JsonOption = False) -> None:
    """Lists batches, newest first."""
    output = Output(json)

    async def talk(reelmesh: Client) -> list[PayoutBatch]:
        from reelmesh.payments.v1.payouts_service_pb2 import ListPayoutBatchesRequest

        return await every(reelmesh, reelmesh.payouts.ListPayoutBatches, ListPayoutBatchesRequest(), "batches")

    found = conversation(output, data, url, talk)
    output.result(batches=[as_json(one) for one in found])
    show(output, _HEADINGS, map(_batch_row, found), "There is no batch yet.")


@app.command("show")
def show_batch(batch: BatchArgument, data: DataOption = None, url: UrlOption = None, json: JsonOption = False) -> None:
    """Shows the payouts of a batch."""
    output = Output(json)

    async def talk(reelmesh: Client) -> list[Payout]:
        from reelmesh.payments.v1.payouts_service_pb2 import ListPayoutsRequest

        request = ListPayoutsRequest(payout_batch_id=batch)
        return await every(reelmesh, reelmesh.payouts.ListPayouts, request, "payouts")

    found = conversation(output, data, url, talk)
    output.result(payouts=[as_json(one) for one in found])
    show(output, _PAYOUT_HEADINGS, map(_payout_row, found), "There is no such batch, or it pays nobody.")


@app.command()
def export(
    batch: BatchArgument,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Where to write. It holds full account numbers.")],
    *,
    form: Annotated[Form, typer.Option("--form", help="For the bank (ISO 20022), or for a table.")] = Form.PAIN,
    data: DataOption = None,
    url: UrlOption = None,
    json: JsonOption = False,
) -> None:
    """Writes an approved batch to a file that only you can read."""
    output = Output(json)

    async def talk(reelmesh: Client) -> bytes:
        from reelmesh.payments.v1 import payouts_service_pb2 as api

        forms = {Form.PAIN: api.PAYOUT_FILE_FORMAT_PAIN_001, Form.CSV: api.PAYOUT_FILE_FORMAT_CSV}
        request = api.GetPayoutBatchFileRequest(payout_batch_id=batch, format=forms[form])
        answer = await reelmesh.call(reelmesh.payouts.GetPayoutBatchFile, request)
        return bytes(answer.file.data)

    content = conversation(output, data, url, talk)
    file.touch(mode=0o600)
    file.chmod(0o600)
    file.write_bytes(content)
    output.result(file=str(file), size_bytes=len(content))
    output.say(f"[green]✓[/] {file}: {len(content)} bytes. Delete it when the bank has it.")


@app.command()
def confirm(
    payout: PayoutArgument,
    reference: Annotated[str, typer.Argument(help="By what the bank knows the transfer.")],
    data: DataOption = None,
    url: UrlOption = None,
    json: JsonOption = False,
) -> None:
    """Says that a payout arrived."""

    def request() -> Any:
        from reelmesh.payments.v1.payouts_service_pb2 import ConfirmPayoutRequest

        return ConfirmPayoutRequest(payout_id=payout, bank_reference=reference)

    _on_payout(Output(json), data, url, "ConfirmPayout", request)


@app.command()
def void(
    payout: PayoutArgument,
    reason: Annotated[str, typer.Argument(help="Why, such as `account closed`.")],
    data: DataOption = None,
    url: UrlOption = None,
    json: JsonOption = False,
) -> None:
    """Says that a payout did not arrive: the creator has its money again."""

    def request() -> Any:
        from reelmesh.payments.v1.payouts_service_pb2 import VoidPayoutRequest

        return VoidPayoutRequest(payout_id=payout, reason=reason)

    _on_payout(Output(json), data, url, "VoidPayout", request)


def _on_batch(output: Output, data: Path | None, url: str | None, method: str, request: Any) -> None:
    async def talk(reelmesh: Client) -> PayoutBatch:
        answer = await reelmesh.call(getattr(reelmesh.payouts, method), request())
        batch: PayoutBatch = answer.batch
        return batch

    batch = conversation(output, data, url, talk)
    output.result(batch=as_json(batch))
    show(output, _HEADINGS, [_batch_row(batch)], "")


def _on_payout(output: Output, data: Path | None, url: str | None, method: str, request: Any) -> None:
    async def talk(reelmesh: Client) -> Payout:
        answer = await reelmesh.call(getattr(reelmesh.payouts, method), request())
        payout: Payout = answer.payout
        return payout

    payout = conversation(output, data, url, talk)
    output.result(payout=as_json(payout))
    show(output, _PAYOUT_HEADINGS, [_payout_row(payout)], "")


_HEADINGS = ("batch", "state", "total", "payouts", "prepared by", "approved by", "since (UTC)")
_PAYOUT_HEADINGS = ("payout", "creator", "amount", "state", "to", "bank's reference", "why void")


def _batch_row(batch: PayoutBatch) -> tuple[str, ...]:
    from reelmesh.payments.v1.payouts_service_pb2 import PayoutBatchState

    return (
        batch.payout_batch_id,
        PayoutBatchState.Name(batch.state).removeprefix("PAYOUT_BATCH_STATE_").lower(),
        f"{_amount(batch.total.minor_units, batch.total.currency)} {batch.total.currency}",
        str(batch.payout_count),
        batch.preparer,
        batch.approver,
        day(batch.change_time),
    )


def _payout_row(payout: Payout) -> tuple[str, ...]:
    from reelmesh.payments.v1.payouts_service_pb2 import PayoutState

    return (
        payout.payout_id,
        payout.creator_id,
        f"{_amount(payout.amount.minor_units, payout.amount.currency)} {payout.amount.currency}",
        PayoutState.Name(payout.state).removeprefix("PAYOUT_STATE_").lower(),
        payout.destination_hint,
        payout.bank_reference,
        payout.void_reason,
    )


def _why(payee: PayablePayee) -> str:
    from reelmesh.payments.v1.payouts_service_pb2 import WithheldReason

    return WithheldReason.Name(payee.withheld).removeprefix("WITHHELD_REASON_").lower() if payee.withheld else ""


def _amount(minor_units: int, currency: str) -> str:
    from services.payments.payouts.files import decimal

    return decimal(minor_units, currency.upper())
