"""The protection service with officers who handle leaks; the other services are played by the test, or run beside it."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Awaitable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from reelmesh.protection.v1 import leaks_service_pb2 as api
from reelmesh.protection.v1 import leaks_service_pb2_grpc, takedowns_service_pb2_grpc
from reelmesh.protection.v1 import takedowns_service_pb2 as notices

from services.kit.clock import FixedClock, SystemClock
from services.kit.database import Database
from services.kit.errors import Refusal
from services.kit.ids import new_id
from services.kit.settings import ProcessSettings
from services.notifications.__main__ import wire as wire_notifications
from services.notifications.settings import NotificationsSettings
from services.protection import store as marked
from services.protection.__main__ import ProtectionSettings, wire
from services.protection.domain import Detection
from services.protection.leaks import store
from services.protection.leaks.domain import Evidence, EvidenceKind
from services.protection.leaks.handling import Handling
from services.protection.leaks.rules import RuleBook
from services.protection.leaks.wiring import CONTRACTS
from tests.support.bus import Bus, on_the_bus
from tests.support.keys import organisation_of_operator, with_api_key
from tests.support.running import connected, running

if TYPE_CHECKING:
    Leaks = leaks_service_pb2_grpc.LeaksServiceAsyncStub
    Takedowns = takedowns_service_pb2_grpc.TakedownsServiceAsyncStub

Shown = tuple[tuple[str, str], ...]
NOTIFIER = {
    "rights_holder": "Kinowerk GmbH",
    "signatory": "Ann Holder",
    "capacity": "Head of legal",
    "address": "Road 1, 10115 Berlin",
    "phone": "+49 30 1234",
    "email": "legal@kino.example",
}


async def refused(call: Awaitable[object]) -> str:
    """The reason with which a call is refused."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return Refusal.from_rpc_error(caught.value).reason


@dataclass(frozen=True)
class Desk:
    """Everything a test of leak cases needs.

    Attributes:
        ann, bob: metadata that shows two officers.
    """

    settings: ProtectionSettings
    leaks: Leaks
    takedowns: Takedowns
    bus: Bus
    database: Database
    clock: FixedClock
    organisation_id: str
    ann: Shown
    bob: Shown

    async def report(self, url: str = "https://pirate.example/film", **fields: Any) -> api.LeakCase:
        """Ann reports a place."""
        request = api.ReportLeakRequest(request_id=new_id("req"), url=url, **fields)
        return (await self.leaks.ReportLeak(request, metadata=self.ann)).case

    async def case(self, case_id: str) -> api.LeakCase:
        """The case as it is now."""
        return (await self.leaks.GetLeakCase(api.GetLeakCaseRequest(case_id=case_id), metadata=self.ann)).case

    async def capture(self, case_id: str, data: bytes = b"a picture", **fields: Any) -> api.LeakEvidence:
        """Ann preserves a capture."""
        request = api.AddLeakEvidenceRequest(request_id=new_id("req"), case_id=case_id, capture=data, **fields)
        return (await self.leaks.AddLeakEvidence(request, metadata=self.ann)).evidence

    async def found(
        self, case_id: str, suspects: Mapping[str, float], outcome: str = "OUTCOME_ACCUSED"
    ) -> api.LeakCase:
        """A search of a film of the case ends. `suspects` are viewers, each with the bound on accusing anybody innocent; their sessions are named after
        them."""
        detection_id, now = new_id("dtc"), self.clock.now()
        accused = [
            {"session_id": f"pbs-of-{viewer}", "viewer_id": viewer, "false_positive": bound}
            for viewer, bound in suspects.items()
        ]
        finding = {"outcome": outcome, "title_asset_id": "", "suspects": accused}
        film = Evidence(
            evidence_id=new_id("lke"),
            case_id=case_id,
            organisation_id=self.organisation_id,
            kind=EvidenceKind.FILM,
            filename="copy.mp4",
            media_type="",
            size_bytes=1,
            sha256="0" * 64,
            url="",
            capture_time=now,
            actor="test",
            preserve_time=now,
            detection_id=detection_id,
        )
        detection = Detection(detection_id, self.organisation_id, "", "", film.object_key, "copy.mp4", now, now)
        ended = detection.completed(finding, now)
        async with self.database.transaction() as tx:
            await store.add_evidence(tx, film)
            await marked.add_detection(tx, ended)
            await Handling(self.clock, RuleBook.read()).detection_ended(tx, ended)
        return await self.case(case_id)

    async def decide(
        self, action: api.LeakAction, verdict: str, who: Shown, comment: str = "", request_id: str = ""
    ) -> api.LeakAction:
        """An officer decides."""
        request = api.DecideLeakActionRequest(
            request_id=request_id or new_id("req"),
            action_id=action.action_id,
            verdict=api.LeakVerdict.Value(f"LEAK_VERDICT_{verdict}"),
            comment=comment,
        )
        return (await self.leaks.DecideLeakAction(request, metadata=who)).action

    async def notifier(self) -> None:
        """Ann says in whose name notices are written."""
        request = notices.SetTakedownNotifierRequest(notifier=notices.TakedownNotifier(**NOTIFIER))
        await self.takedowns.SetTakedownNotifier(request, metadata=self.ann)

    async def draft(self, case: api.LeakCase, kind: str = "DMCA", email: str = "") -> notices.Takedown:
        """Ann prepares a notice."""
        request = notices.PrepareTakedownRequest(
            request_id=new_id("req"),
            case_id=case.case_id,
            kind=notices.TakedownKind.Value(f"TAKEDOWN_KIND_{kind}"),
            work="“The film” (2026)",
            email=email,
        )
        return (await self.takedowns.PrepareTakedown(request, metadata=self.ann)).takedown

    async def sign(self, notice: notices.Takedown, signature: str = "Ann Holder") -> notices.Takedown:
        """Ann signs."""
        request = notices.SendTakedownRequest(
            request_id=new_id("req"), takedown_id=notice.takedown_id, signature=signature
        )
        return (await self.takedowns.SendTakedown(request, metadata=self.ann)).takedown

    async def record(self, notice: notices.Takedown, state: str, **fields: Any) -> notices.Takedown:
        """Ann records what happened."""
        request = notices.RecordTakedownStepRequest(
            request_id=new_id("req"),
            takedown_id=notice.takedown_id,
            state=notices.TakedownState.Value(f"TAKEDOWN_STATE_{state}"),
            **fields,
        )
        return (await self.takedowns.RecordTakedownStep(request, metadata=self.ann)).takedown

    async def notice(self, notice: notices.Takedown) -> notices.Takedown:
        """The notice as it is now."""
        listed = await self.takedowns.ListTakedowns(notices.ListTakedownsRequest(page_size=200), metadata=self.ann)
        return next(one for one in listed.takedowns if one.takedown_id == notice.takedown_id)

    def later(self, **span: float) -> None:
        """Time goes by."""
        self.clock.advance(timedelta(**span))


@contextlib.asynccontextmanager
async def a_desk(mesh: ProcessSettings, platforms: Path | None = None) -> AsyncIterator[Desk]:
    """The running service, with the notifications service beside it, whose console writes messages down."""
    told = {**mesh.model_dump(), "protection_leak_seconds": 0.05, "protection_leak_platforms": platforms}
    settings, clock = ProtectionSettings(**told), FixedClock(SystemClock().now())
    organisation_id = organisation_of_operator(settings)
    database = Database.of("protection", settings)
    with (
        with_api_key(settings, organisation_id=organisation_id, permissions=["*"], name="ann") as ann,
        with_api_key(settings, organisation_id=organisation_id, permissions=["*"], name="bob") as bob,
    ):
        async with (
            on_the_bus(settings) as bus,
            running("notifications", NotificationsSettings(**mesh.model_dump()), wire_notifications, clock=clock),
            running("protection", settings, wire, clock=clock),
            connected(settings, "protection", *CONTRACTS, key="") as channel,
        ):
            yield Desk(
                settings,
                leaks_service_pb2_grpc.LeaksServiceStub(channel),
                takedowns_service_pb2_grpc.TakedownsServiceStub(channel),
                bus,
                database,
                clock,
                organisation_id,
                ann=(("authorization", f"Bearer {ann}"),),
                bob=(("authorization", f"Bearer {bob}"),),
            )
    await database.close()
