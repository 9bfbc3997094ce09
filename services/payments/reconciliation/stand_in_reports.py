"""The daily reports of the stand-in processor."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import date
from typing import Any, Final

import httpx

from services.payments.processors.stand_in import NAME
from services.payments.reconciliation.domain import Transaction

_KINDS: Final = {"sale": "sale", "charge": "sale", "refund": "refund", "chargeback": "chargeback"}
"""What it reports, as the ledger's references begin."""

AccountsOf = Callable[[str], Awaitable[Sequence[tuple[str, str]]]]
"""API key and webhook URL of each account that an organisation has with it."""


class StandInReports:
    """A `ReportSource`.

    Args:
        http: asks, with a time limit of its own.
        url: where its API is.
        accounts_of: finds accounts.
    """

    def __init__(self, http: httpx.AsyncClient, url: str, accounts_of: AccountsOf) -> None:
        self._http = http
        self._url = url.rstrip("/")
        self._accounts_of = accounts_of

    async def transactions(self, organisation_id: str, report_date: date) -> Sequence[Transaction] | None:
        """See `ReportSource`. Without an account there is no report.

        Raises:
            httpx.HTTPError: it does not answer, or not well; it is asked again later.
        """
        accounts = await self._accounts_of(organisation_id)
        if not accounts:
            return None
        found: list[Transaction] = []
        for key, notify_url in accounts:
            found.extend(await self._reported(key, notify_url, report_date))
        return found

    async def _reported(self, key: str, notify_url: str, report_date: date) -> Sequence[Transaction]:
        response = await self._http.get(
            f"{self._url}/v1/reports/{report_date.isoformat()}",
            params={"notify_url": notify_url},
            headers={"authorization": f"Bearer {key}"},
        )
        response.raise_for_status()
        reported: Sequence[Mapping[str, Any]] = response.json()["transactions"]
        return [
            Transaction(f"{_KINDS[one['kind']]}/{NAME}/{one['id']}", int(one["minor_units"]), str(one["currency"]))
            for one in reported
        ]
