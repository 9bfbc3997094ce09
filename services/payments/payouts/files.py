"""Batches as files: for the bank (ISO 20022 pain.001.001.09) and for tables (RFC 4180)."""

from __future__ import annotations

import csv
import io
import unicodedata
from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Final

from lxml import etree

from services.payments.ledger.currencies import CURRENCIES
from services.payments.payouts.bank_accounts import BankAccount
from services.payments.payouts.domain import Batch, Payout, PayoutState

NAMESPACE: Final = "urn:iso:std:iso:20022:tech:xsd:pain.001.001.09"
_HEAD: Final = (
    "payout_id",
    "creator_id",
    "amount",
    "currency",
    "state",
    "holder_name",
    "iban",
    "account_number",
    "bic",
    "bank_reference",
)
_NAME: Final = 70
# What a table would take for a formula.
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")


def decimal(minor_units: int, code: str) -> str:
    """An amount with as many decimals as its currency has: `19.99`."""
    return str(
        Decimal(minor_units).scaleb(-CURRENCIES[code].exponent).quantize(Decimal(1).scaleb(-CURRENCIES[code].exponent))
    )


def harmless(text: str) -> str:
    """A text that no table takes for a formula."""
    return f"'{text}" if text.startswith(_FORMULA) else text


def as_csv(payouts: Sequence[Payout], accounts: Mapping[str, BankAccount]) -> bytes:
    """Every payout of a batch, with where it goes."""
    out = io.StringIO()
    table = csv.writer(out)
    table.writerow(_HEAD)
    for payout in payouts:
        account = accounts[payout.bank_account_id]
        table.writerow(
            [
                payout.payout_id,
                harmless(payout.creator_id),
                decimal(payout.minor_units, payout.currency),
                payout.currency,
                payout.state.name,
                harmless(account.holder_name),
                account.iban,
                account.account_number,
                account.bic,
                harmless(payout.bank_reference),
            ]
        )
    return out.getvalue().encode()


def as_pain(
    batch: Batch, payouts: Sequence[Payout], accounts: Mapping[str, BankAccount], payer: BankAccount, now: datetime
) -> bytes:
    """A customer credit transfer initiation of what is to be transferred: payouts that are void are not in it.

    One payment information block. In EUR the service level is SEPA, and names are written in its characters (EPC217-08). Ids are the batch's and
    the payouts', so a bank that refuses doubles knows a file that comes twice.
    """
    due = [payout for payout in payouts if payout.state in (PayoutState.PENDING, PayoutState.SENT)]
    code = batch.currency
    total = decimal(sum(payout.minor_units for payout in due), code)
    root = etree.Element(_name("Document"), nsmap={None: NAMESPACE})  # type: ignore[dict-item]  # the stubs know of no default namespace
    message = _add(root, "CstmrCdtTrfInitn")
    head = _add(message, "GrpHdr")
    _add(head, "MsgId", batch.payout_batch_id)
    _add(head, "CreDtTm", now.strftime("%Y-%m-%dT%H:%M:%SZ"))
    _add(head, "NbOfTxs", str(len(due)))
    _add(head, "CtrlSum", total)
    _add(_add(head, "InitgPty"), "Nm", _written(payer.holder_name, code))
    block = _add(message, "PmtInf")
    _add(block, "PmtInfId", batch.payout_batch_id)
    _add(block, "PmtMtd", "TRF")
    _add(block, "NbOfTxs", str(len(due)))
    _add(block, "CtrlSum", total)
    if code == "EUR":
        _add(_add(_add(block, "PmtTpInf"), "SvcLvl"), "Cd", "SEPA")
    _add(_add(block, "ReqdExctnDt"), "Dt", now.date().isoformat())
    _add(_add(block, "Dbtr"), "Nm", _written(payer.holder_name, code))
    _account(_add(block, "DbtrAcct"), payer)
    _agent(_add(block, "DbtrAgt"), payer.bic)
    _add(block, "ChrgBr", "SLEV")
    for payout in due:
        _transfer(_add(block, "CdtTrfTxInf"), payout, accounts[payout.bank_account_id])
    return etree.tostring(root, xml_declaration=True, encoding="UTF-8", pretty_print=True)


def _transfer(into: etree._Element, payout: Payout, account: BankAccount) -> None:
    ids = _add(into, "PmtId")
    _add(ids, "InstrId", payout.payout_id)
    _add(ids, "EndToEndId", payout.payout_id)
    amount = _add(_add(into, "Amt"), "InstdAmt", decimal(payout.minor_units, payout.currency))
    amount.set("Ccy", payout.currency)
    if account.bic:
        _agent(_add(into, "CdtrAgt"), account.bic)
    _add(_add(into, "Cdtr"), "Nm", _written(account.holder_name, payout.currency))
    _account(_add(into, "CdtrAcct"), account)
    _add(_add(into, "RmtInf"), "Ustrd", f"Payout {payout.payout_id}")


def _account(into: etree._Element, account: BankAccount) -> None:
    number = _add(into, "Id")
    if account.iban:
        _add(number, "IBAN", account.iban)
    else:
        _add(_add(number, "Othr"), "Id", account.account_number)


def _agent(into: etree._Element, bic: str) -> None:
    bank = _add(into, "FinInstnId")
    if bic:
        _add(bank, "BICFI", bic)
    else:
        _add(_add(bank, "Othr"), "Id", "NOTPROVIDED")


def _written(name: str, code: str) -> str:
    """A name as the file may hold it. SEPA's characters are those of ASCII's letters: accents are dropped where that leaves something."""
    if code == "EUR":
        plain = unicodedata.normalize("NFKD", name.replace("ß", "ss")).encode("ascii", "ignore").decode()
        kept = "".join(sign if sign.isalnum() or sign in " /-?:().,'+" else " " for sign in plain).strip()
        name = kept or name
    return name[:_NAME]


def _name(tag: str) -> str:
    return f"{{{NAMESPACE}}}{tag}"


def _add(into: etree._Element, tag: str, text: str | None = None) -> etree._Element:
    element = etree.SubElement(into, _name(tag))
    element.text = text
    return element
