"""Takes notices of anybody: counts them, looks at what they say, finds whose material it is, and opens a case."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from reelmesh.compliance.v1 import notices_service_pb2 as api

from services.compliance import refusals
from services.compliance.notices import desks, rules, store, titles
from services.compliance.notices.domain import Case
from services.compliance.notices.elements import check_notice
from services.compliance.notices.handling import Handling
from services.compliance.notices.messages import as_written
from services.compliance.notices.rules import Kind
from services.kit import attempts
from services.kit.attempts import Alone, Limit
from services.kit.clock import Clock
from services.kit.database import Database, Tx
from services.kit.ids import new_id
from services.kit.sealing import Seal

BY_NETWORK: Final = Limit(free=30, first=timedelta(minutes=1), longest=timedelta(hours=6))
"""Whoever reports many things in a day is welcome; whoever reports hundreds has to be slow."""
BY_ADDRESS: Final = Limit(free=20, first=timedelta(minutes=5), longest=timedelta(hours=6))
"""Each notice sends a mail to an address that somebody typed."""


class Intake:
    """Takes notices."""

    def __init__(self, database: Database, clock: Clock, seal: Seal, handling: Handling) -> None:
        self._database = database
        self._clock = clock
        self._seal = seal
        self._handling = handling

    async def counted(self, request: api.SubmitNoticeRequest, network: str) -> None:
        """Counts a notice against its network and its address, in a transaction of its own: it counts whatever comes of it.

        Raises:
            Refusal: NOTICES_TOO_MANY.
        """
        limits = []
        if network:
            limits.append((self._seal.digest("notices from", network), BY_NETWORK))
        if request.notifier.email:
            limits.append((self._seal.digest("notices of", request.notifier.email.strip().lower()), BY_ADDRESS))
        async with self._database.transaction() as tx:
            wait = await attempts.begin(tx, Alone(sorted(limits, key=lambda one: one[0])), self._clock.now())
        if wait:
            raise refusals.notices_too_many(wait)

    async def taken(self, tx: Tx, request: api.SubmitNoticeRequest) -> Case:
        """Opens a case.

        Raises:
            Refusal: NOTICE_ELEMENT_MISSING, NOTICE_MATERIAL_UNKNOWN, or REQUEST_INVALID for an address that is none.
        """
        now = self._clock.now()
        held = rules.at(now)
        kind = held.kinds[Kind(request.kind)]
        check_notice(held, kind, request)
        if request.notifier.email:
            request.notifier.email = desks.email_address("notifier.email", request.notifier.email)
        title = await titles.at_location(tx, request.location)
        if title is None:
            raise refusals.notice_material_unknown()
        case = await self._case(tx, request, title, now)
        await store.write(tx, self._seal, case.notice_id, store.NOTICE, _written(request))
        await self._handling.opened(tx, case)
        return case

    async def _case(self, tx: Tx, request: api.SubmitNoticeRequest, title: titles.Title, now: datetime) -> Case:
        case = Case(
            notice_id=new_id("ntc"),
            organisation_id=title.organisation_id,
            kind=Kind(request.kind),
            category=request.category,
            asset_id=title.asset_id,
            uploader=title.uploader,
            language=request.language,
            rules_date=rules.at(now).since.isoformat(),
            receive_time=now,
            change_time=now,
        )
        return case.received(await self._handling.calendar(tx, case))


def _written(request: api.SubmitNoticeRequest) -> dict[str, object]:
    """What of a notice is kept sealed."""
    kept = api.SubmitNoticeRequest()
    kept.CopyFrom(request)
    for name in ("request_id", "kind", "category", "language"):
        kept.ClearField(name)
    return as_written(kept)
