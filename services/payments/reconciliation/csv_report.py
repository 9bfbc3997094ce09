"""A processor's report as comma-separated values (RFC 4180)."""

from __future__ import annotations

import csv
import io
import re
from typing import Final

from services.payments import refusals
from services.payments.ledger.currencies import CURRENCIES
from services.payments.reconciliation.domain import KINDS, Transaction

HEAD: Final = ("kind", "reference", "minor_units", "currency", "fee_minor_units")
_MOST_UNITS: Final = 10**15
_REFERENCE: Final = re.compile(r"[!-~]{1,200}")


def transactions_of(processor: str, content: bytes) -> tuple[Transaction, ...]:
    """Reads a report.

    Raises:
        Refusal: INVALID_ARGUMENT `PROCESSOR_REPORT_INVALID`.
    """
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise refusals.processor_report_invalid(1, "the report is not written in UTF-8") from error
    lines = csv.reader(io.StringIO(text, newline=""), strict=True)
    read: list[Transaction] = []
    try:
        head = next(lines, None)
        if head is None or tuple(head) != HEAD:
            raise refusals.processor_report_invalid(1, f"the head must be {','.join(HEAD)}")
        read.extend(_transaction(processor, row, lines.line_num) for row in lines if row)
    except csv.Error as error:
        raise refusals.processor_report_invalid(lines.line_num, str(error)) from error
    return tuple(read)


def _transaction(processor: str, row: list[str], line: int) -> Transaction:
    if len(row) != len(HEAD):
        raise refusals.processor_report_invalid(line, f"has {len(row)} values where there are {len(HEAD)}")
    kind, reference, units, code, fee = row
    if kind not in KINDS:
        raise refusals.processor_report_invalid(line, f"the kind is none of {', '.join(KINDS)}")
    if not _REFERENCE.fullmatch(reference):
        raise refusals.processor_report_invalid(line, "the reference must be 1 to 200 printable characters of ASCII")
    if code not in CURRENCIES:
        raise refusals.processor_report_invalid(line, "there is no such currency")
    amount = _units(units, line)
    if amount == 0:
        raise refusals.processor_report_invalid(line, "the amount must be above zero")
    return Transaction(f"{kind}/{processor}/{reference}", amount, code, _units(fee, line) if fee else None)


def _units(text: str, line: int) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > len(str(_MOST_UNITS)) or int(text) > _MOST_UNITS:
        raise refusals.processor_report_invalid(line, "amounts are whole minor units, from 0 to 10^15")
    return int(text)
