"""The daily reports of the stand-in processor."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import date
from typing import Any, Final

import httpx

from services.payments.reconciliation.domain import Transaction

_KINDS: Final = {"sale": "sale", "charge": "sale", "refund": "refund", "chargeback": "chargeback"}
"""What it reports, as the ledger's references begin."""

AccountOf = Callable[[str], Awaitable[tuple[str, str] | None]]
"""Address and API key of an organisation's account; None when it has none."""


class StandInReports:
    """A `ReportSource`.

    Args:
        http: asks, with a time limit of its own.
        account_of: finds accounts.
        processor: name of the processor, as sales have it.
    """

    def __init__(self, http: httpx.AsyncClient, account_of: AccountOf, processor: str) -> None:
        self._http = http
        self._account_of = account_of
        self._processor = processor

    async def transactions(self, organisation_id: str, report_date: date) -> Sequence[Transaction] | None:
        """See `ReportSource`. Without an account there is no report.

        Raises:
            httpx.HTTPError: it does not answer, or not well; it is asked again later.
        """
        account = await self._account_of(organisation_id)
        if account is None:
            return None
        url, api_key = account
        headers = {"authorization": f"Bearer {api_key}"}
        response = await self._http.get(f"{url.rstrip('/')}/v1/reports/{report_date.isoformat()}", headers=headers)
        response.raise_for_status()
        reported: Sequence[Mapping[str, Any]] = response.json()["transactions"]
        return [
            Transaction(
                f"{_KINDS[one['kind']]}/{self._processor}/{one['id']}", int(one["minor_units"]), str(one["currency"])
            )
            for one in reported
        ]
