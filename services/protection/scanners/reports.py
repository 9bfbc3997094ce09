"""Tells whoever has to hear of holds: a webhook of the operator's, signed as Standard Webhooks are (https://www.standardwebhooks.com, version 1.0.0).

What is told lies in a table until somebody took it with a status of 2xx, so it is told at least once, whatever dies; `webhook-id` stays the same.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

import httpx
import structlog

from services.kit.clock import Clock
from services.kit.database import Database, Tx
from services.kit.events import enqueue
from services.kit.ids import new_id
from services.kit.work import TryAgain, WorkQueue
from services.protection.scanners import store
from services.protection.scanners.domain import Hold
from services.protection.scanners.store import Report

log = structlog.stdlib.get_logger()

SECRET_FILE: Final = "hold_report_secret"  # noqa: S105  # the name of a file
"""`whsec_…` in the folder of secrets: by it the receiver knows that it is us."""
_PREFIX: Final = "whsec_"
_TIMEOUT: Final = 20.0
_FIRST_PAUSE: Final = 2.0
_LONGEST_PAUSE: Final = 900.0


def signature(secret: str, message_id: str, timestamp: int, body: str) -> str:
    """The value of `webhook-signature`.

    Args:
        secret: `whsec_` and base64.
        message_id: as in `webhook-id`.
        timestamp: seconds since 1970, as in `webhook-timestamp`.
        body: as it is sent.
    """
    key = base64.b64decode(secret.removeprefix(_PREFIX))
    signed = hmac.digest(key, f"{message_id}.{timestamp}.{body}".encode(), hashlib.sha256)
    return f"v1,{base64.b64encode(signed).decode()}"


class Reports:
    """Puts down what is to be told, and tells it.

    Args:
        url: where; empty when nobody is to be told.
        secret: what `SECRET_FILE` holds.
    """

    def __init__(self, database: Database, clock: Clock, queue: WorkQueue, url: str, secret: str) -> None:
        self._database = database
        self._clock = clock
        self._queue = queue
        self._url = url
        self._secret = secret

    async def put_down(self, tx: Tx, hold: Hold) -> None:
        """Puts down that a hold changed, in the transaction that changed it."""
        if not self._url:
            return
        now = self._clock.now()
        report = Report(new_id("rpt"), hold.hold_id, _body(hold, now), now, now)
        await store.add_report(tx, report)
        await enqueue(tx, self._queue.subject, f"report:{report.report_id}".encode())

    async def tell(self, report_id: str) -> None:
        """Tells one.

        Raises:
            TryAgain: nobody took it.
        """
        async with self._database.transaction() as tx:
            report = await store.find_report(tx, report_id)
            if report is None or not self._url:
                return
            now = self._clock.now()
            trouble = await self._sent(report, now)
            if not trouble:
                await store.forget_report(tx, report_id)
                hold = await store.find_hold(tx, report.hold_id, for_update=True)
                if hold is not None:
                    await store.put_hold(tx, hold.reported(now))
                return
            await store.put_report(tx, replace(report, ask_time=now, attempts=report.attempts + 1))
        pause = min(_FIRST_PAUSE * 2.0**report.attempts, _LONGEST_PAUSE)
        log.warning("a report of a hold was not taken", hold_id=report.hold_id, trouble=trouble, pause=pause)
        raise TryAgain("a report was not taken", delay=pause)

    async def _sent(self, report: Report, now: datetime) -> str:
        """What went wrong; empty when it was taken."""
        stamp = int(now.timestamp())
        headers = {
            "content-type": "application/json",
            "webhook-id": report.report_id,
            "webhook-timestamp": str(stamp),
            "webhook-signature": signature(self._secret, report.report_id, stamp, report.body),
        }
        try:
            async with httpx.AsyncClient(timeout=_TIMEOUT, follow_redirects=False) as client:
                answer = await client.post(self._url, content=report.body, headers=headers)
        except httpx.HTTPError as error:
            return type(error).__name__
        return "" if answer.is_success else f"status {answer.status_code}"


def _body(hold: Hold, now: datetime) -> str:
    """What is told: who, what, by which list; nothing of the content."""
    data = {
        "hold_id": hold.hold_id,
        "organisation_id": hold.organisation_id,
        "asset_id": hold.asset_id,
        "upload_id": hold.upload_id,
        "state": hold.state.name,
        "ground": hold.finding.ground.name,
        "check": hold.finding.check,
        "list_name": hold.finding.list_name,
        "entry": hold.finding.entry,
        "distance": hold.finding.distance,
        "sha256": hold.sha256,
        "size_bytes": hold.size_bytes,
        "create_time": hold.create_time.isoformat(),
    }
    return json.dumps({"type": f"hold.{hold.state.name.lower()}", "timestamp": now.isoformat(), "data": data})


PATIENCE: Final = timedelta(seconds=_LONGEST_PAUSE * 2)
"""Longer than any pause between two attempts: what was not tried for so long, the queue lost."""
