"""Transfers: whatever dies or is told twice, the bank is asked for each payout once."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass, field

import pytest
from lxml import etree
from reelmesh.payments.v1 import events_pb2
from reelmesh.payments.v1 import payouts_service_pb2 as api

from services.payments.payouts.bank_accounts import bank_account
from services.payments.payouts.files import NAMESPACE
from services.payments.payouts.transfers import Outcome, Transfer, TransferState
from tests.payments.desk import IBAN, PAYER_IBAN, Desk
from tests.payments.scene import CREATOR, refused

CLEARING, SETTLED = 10, 11


@dataclass
class StandInBank:
    """A bank of our own. It knows a transfer by its key, and says what it is told to say.

    Attributes:
        breaks: how many calls end before the bank answers, after it has taken the transfer in.
    """

    name: str = "stand-in"
    says: dict[str, Outcome] = field(default_factory=dict)
    taken: dict[str, Transfer] = field(default_factory=dict)
    asked: Counter[str] = field(default_factory=Counter)
    breaks: int = 0

    async def transfer(self, wanted: Transfer) -> Outcome:
        self.asked[wanted.key] += 1
        known = self.taken.setdefault(wanted.key, wanted)
        assert known == wanted, "the same key for something else"
        if self.breaks:
            self.breaks -= 1
            raise ConnectionError("the line is dead")
        return self.says.get(wanted.key, Outcome(TransferState.SENT))


async def sent(own: Desk, creators: str = "ada ben") -> tuple[api.PayoutBatch, list[api.Payout]]:
    for creator in creators.split():
        await own.payee(creator)
        await own.earn(1000, creator)
    await own.wait(8)
    batch = await own.approved()
    await own.send(batch)
    return batch, sorted(await own.paid(batch), key=lambda payout: payout.creator_id)


async def test_what_arrived_is_settled_and_what_failed_is_given_back(own_desk: Desk) -> None:
    batch, (ada, ben) = await sent(own_desk)
    bank = StandInBank()
    transferring = own_desk.office.transferring(bank)
    assert await transferring.once() == 0
    assert {payout.state for payout in await own_desk.paid(batch)} == {api.PAYOUT_STATE_SENT}
    bank.says[ada.payout_id] = Outcome(TransferState.SETTLED, reference="B 17")
    bank.says[ben.payout_id] = Outcome(TransferState.FAILED, reason="AC04 closed account")
    assert await transferring.once() == 2
    by_creator = {payout.creator_id: payout for payout in await own_desk.paid(batch)}
    assert (by_creator["ada"].state, by_creator["ada"].bank_reference) == (api.PAYOUT_STATE_POSTED, "B 17")
    assert (by_creator["ben"].state, by_creator["ben"].void_reason) == (api.PAYOUT_STATE_VOID, "AC04 closed account")
    assert [await own_desk.held(SETTLED, who) for who in ("ada", "ben")] == [1000, 0]
    assert [await own_desk.held(CREATOR, who) for who in ("ada", "ben")] == [0, 1000]
    assert (await own_desk.batch(batch)).state == api.PAYOUT_BATCH_STATE_COMPLETED
    assert await transferring.once() == 0
    assert [event.payout_id for event in own_desk.books.bus.heard(events_pb2.PayoutVoided)].count(ben.payout_id) <= 1
    await own_desk.books.in_order()


async def test_a_bank_that_breaks_off_is_asked_again_under_the_same_key(own_desk: Desk) -> None:
    batch, (ada,) = await sent(own_desk, "ada")
    bank = StandInBank(breaks=2)
    bank.says[ada.payout_id] = Outcome(TransferState.SETTLED, reference="B 1")
    transferring = own_desk.office.transferring(bank)
    for _ in range(2):
        with pytest.raises(ConnectionError):
            await transferring.once()
        assert (await own_desk.paid(batch))[0].state == api.PAYOUT_STATE_SENT
    assert await transferring.once() == 1
    assert (len(bank.taken), bank.asked[ada.payout_id]) == (1, 3)
    assert await own_desk.held(SETTLED) == 1000


async def test_two_at_work_at_once_settle_once(own_desk: Desk) -> None:
    batch, payouts = await sent(own_desk)
    bank = StandInBank()
    for payout in payouts:
        bank.says[payout.payout_id] = Outcome(TransferState.SETTLED, reference="B")
    workers = [own_desk.office.transferring(bank) for _ in range(3)]
    await asyncio.gather(*(worker.once() for worker in workers))
    assert [await own_desk.held(SETTLED, who) for who in ("ada", "ben")] == [1000, 1000]
    assert [await own_desk.held(CLEARING, who) for who in ("ada", "ben")] == [0, 0]
    assert (await own_desk.batch(batch)).state == api.PAYOUT_BATCH_STATE_COMPLETED
    await own_desk.books.in_order()


async def file_of(own: Desk, batch: api.PayoutBatch, form: int) -> api.GetPayoutBatchFileResponse:
    request = api.GetPayoutBatchFileRequest(
        payout_batch_id=batch.payout_batch_id, format=api.PayoutFileFormat.ValueType(form)
    )
    return await own.payouts.GetPayoutBatchFile(request)


def paths(element: etree._Element, path: str = "") -> list[str]:
    """The path of each element that has no child, in order."""
    path = f"{path}/{etree.QName(element).localname}"
    return [path] if not len(element) else [leaf for child in element for leaf in paths(child, path)]


async def test_the_banks_file_is_a_customer_credit_transfer_initiation(own_desk: Desk) -> None:
    """Order and names of elements as pain.001.001.09 has them (ISO 20022)."""
    await own_desk.payee("ben", iban="")
    await own_desk.destination("ben", "FR14 2004 1010 0505 0001 3M02 606", name="Zoë Müßig & Søn <x>")
    batch, payouts = await sent(own_desk)
    with refused("PAYER_MISSING"):
        await file_of(own_desk, batch, api.PAYOUT_FILE_FORMAT_PAIN_001)
    await own_desk.payer()
    file = (await file_of(own_desk, batch, api.PAYOUT_FILE_FORMAT_UNSPECIFIED)).file
    assert file.content_type == "application/xml"
    root = etree.fromstring(file.data)
    assert etree.QName(root).namespace == NAMESPACE
    transfer = [
        "PmtId/InstrId",
        "PmtId/EndToEndId",
        "Amt/InstdAmt",
        "Cdtr/Nm",
        "CdtrAcct/Id/IBAN",
        "RmtInf/Ustrd",
    ]
    top, block = "/Document/CstmrCdtTrfInitn", "/Document/CstmrCdtTrfInitn/PmtInf"
    assert paths(root) == [
        *(f"{top}/GrpHdr/{name}" for name in ("MsgId", "CreDtTm", "NbOfTxs", "CtrlSum", "InitgPty/Nm")),
        *(f"{block}/{name}" for name in ("PmtInfId", "PmtMtd", "NbOfTxs", "CtrlSum", "PmtTpInf/SvcLvl/Cd")),
        *(f"{block}/{name}" for name in ("ReqdExctnDt/Dt", "Dbtr/Nm", "DbtrAcct/Id/IBAN")),
        *(f"{block}/{name}" for name in ("DbtrAgt/FinInstnId/BICFI", "ChrgBr")),
        *(f"{block}/CdtTrfTxInf/{name}" for name in (*transfer, *transfer)),
    ]

    def texts(name: str) -> list[str | None]:
        return [one.text for one in root.iterfind(f".//{{{NAMESPACE}}}{name}")]

    assert texts("MsgId") == [batch.payout_batch_id]
    assert len(batch.payout_batch_id) <= 35
    assert (texts("NbOfTxs"), texts("CtrlSum")) == (["2", "2"], ["20.00", "20.00"])
    assert texts("InstdAmt") == ["10.00", "10.00"]
    assert texts("IBAN") == [PAYER_IBAN, IBAN, "FR1420041010050500013M02606"]
    assert texts("Nm")[2:] == ["Ada Lovelace", "Zoe Mussig   Sn  x"]
    assert texts("EndToEndId") == [payout.payout_id for payout in payouts]
    amounts = root.iterfind(f".//{{{NAMESPACE}}}InstdAmt")
    assert {one.get("Ccy") for one in amounts} == {"EUR"}


async def test_what_is_void_is_not_in_the_banks_file(own_desk: Desk) -> None:
    batch, (ada, _) = await sent(own_desk)
    await own_desk.payer()
    await own_desk.payouts.VoidPayout(api.VoidPayoutRequest(payout_id=ada.payout_id, reason="by request"))
    root = etree.fromstring((await file_of(own_desk, batch, api.PAYOUT_FILE_FORMAT_PAIN_001)).file.data)
    assert [one.text for one in root.iterfind(f".//{{{NAMESPACE}}}CtrlSum")] == ["10.00", "10.00"]


async def test_no_bank_is_asked_for_crypto_assets(own_desk: Desk) -> None:
    await own_desk.payee()
    await own_desk.earn(1000, currency="USDC")
    await own_desk.wait(8)
    batch = await own_desk.approved("USDC")
    await own_desk.payer()
    with refused("NO_BANK_CURRENCY"):
        await file_of(own_desk, batch, api.PAYOUT_FILE_FORMAT_PAIN_001)
    file = (await file_of(own_desk, batch, api.PAYOUT_FILE_FORMAT_CSV)).file
    assert ",0.001000,USDC," in file.data.decode()


async def test_a_batch_that_nobody_approved_has_no_file(own_desk: Desk) -> None:
    await own_desk.payee()
    await own_desk.earn(1000)
    await own_desk.wait(8)
    with refused("PAYOUT_BATCH_WRONG_STATE"):
        await file_of(own_desk, await own_desk.prepare(), api.PAYOUT_FILE_FORMAT_CSV)


async def test_a_table_takes_nothing_for_a_formula(own_desk: Desk) -> None:
    await own_desk.payee("=1+1", iban="")
    await own_desk.destination("=1+1", name="+cmd|' /C calc'!A0")
    batch, _ = await sent(own_desk, "=1+1")
    file = (await file_of(own_desk, batch, api.PAYOUT_FILE_FORMAT_CSV)).file
    head, row = file.data.decode().splitlines()
    assert head.startswith("payout_id,creator_id,amount,currency,state,holder_name,iban")
    assert ",'=1+1,10.00,EUR," in row
    assert f",'+cmd|' /C calc'!A0,{IBAN}," in row


@pytest.mark.parametrize(
    ("iban", "number", "hint"),
    [
        ("GB82 WEST 1234 5698 7654 32", "", "GB82 …5432"),
        ("nl91abna0417164300", "", "NL91 …4300"),
        ("", "1234567890", "…7890"),
        ("", "12345678", "…8"),
    ],
)
def test_hints_do_not_tell_the_account(iban: str, number: str, hint: str) -> None:
    assert bank_account("Ada", iban, number, "").hint == hint
