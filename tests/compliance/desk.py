"""The compliance service on real stores with people who give notices, people who decide, and an uploader; other services' events are told by the test."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from reelmesh.assets.v1 import events_pb2 as assets
from reelmesh.compliance.v1 import notices_pb2, notices_service_pb2_grpc
from reelmesh.compliance.v1 import notices_service_pb2 as api
from reelmesh.upload.v1 import events_pb2 as upload
from reelmesh.upload.v1.upload_pb2 import UPLOAD_PURPOSE_EVIDENCE

from services.compliance.__main__ import ComplianceSettings, wire
from services.compliance.log.settings import COMPLIANCE_KEY_FILE
from services.compliance.notices.letters import Letters, OutgoingLetter, letters
from services.compliance.notices.wiring import CONTRACT
from services.kit.clock import FixedClock
from services.kit.database import Database
from services.kit.ids import new_id
from services.kit.sealing import Seal
from services.kit.settings import ProcessSettings
from services.notifications.texts import Texts
from tests.compliance.scene import T0, settings_of
from tests.support import databases
from tests.support.bus import Bus, on_the_bus
from tests.support.keys import organisation_of_operator, with_api_key
from tests.support.running import connected, running

if TYPE_CHECKING:
    Stub = notices_service_pb2_grpc.NoticesServiceAsyncStub

TEXTS = Texts("Reelmesh", "https://films.example")
NOTIFIER = notices_pb2.NoticeContact(name="Nora Notifier", email="nora@example.com", signature="Nora Notifier")
REASONS = api.NoticeReasons(
    facts="The film is the same as the work that is named.",
    legal_ground="17 U.S.C. 501",
    ground_explanation="It was published without a licence of the owner.",
)
WHY = api.NoticeReasons(facts="It was looked at.")
COUNTER = notices_pb2.CounterNotice(
    contact=notices_pb2.NoticeContact(
        name="Ulla Uploader",
        signature="Ulla Uploader",
        postal_address="1 Street, 12345 Town",
        phone="+1 555 0100",
    ),
    explanation="It is my own film.",
    good_faith_under_perjury=True,
    consents_to_jurisdiction=True,
)


@dataclass
class Desk:
    """The running service, and its callers: anybody, two who decide, and one who only reads."""

    settings: ComplianceSettings
    clock: FixedClock
    database: Database
    bus: Bus
    anybody: Stub
    first: Stub
    second: Stub
    reader: Stub

    @property
    def organisation_id(self) -> str:
        return organisation_of_operator(self.settings)

    async def film(self, uploader: str = "") -> str:
        """Somebody uploads a film."""
        asset_id = new_id("ast")
        event = upload.UploadCommitted(
            upload_id=new_id("upl"),
            asset_id=asset_id,
            organisation_id=self.organisation_id,
            actor=uploader or f"user/{new_id('usr')}",
        )
        await self.bus.publish(event)
        await self.until("SELECT count(*) = 1 FROM notice_titles WHERE asset_id = :asset_id", asset_id=asset_id)
        return asset_id

    async def evidence(self) -> str:
        """Somebody uploads another's copy of a film, which comes to be known in no way."""
        asset_id, whose = new_id("ast"), self.organisation_id
        told = upload.UploadCommitted(
            upload_id=new_id("upl"), asset_id=asset_id, organisation_id=whose, purpose=UPLOAD_PURPOSE_EVIDENCE
        )
        await self.bus.publish(told)
        created = assets.AssetCreated(asset_id=asset_id, organisation_id=whose, purpose=UPLOAD_PURPOSE_EVIDENCE)
        await self.bus.publish(created)
        await self.film()  # heard of behind both
        return asset_id

    async def until(self, question: str, **parameters: Any) -> None:
        """Waits until a question to the database is answered by yes."""
        async with asyncio.timeout(60):
            while True:
                async with self.database.transaction() as tx:
                    if (await tx.execute(sa.text(question), parameters)).scalar_one():
                        return
                await asyncio.sleep(0.02)

    async def stands(self, notice_id: str, state: notices_pb2.NoticeState.ValueType) -> notices_pb2.Notice:
        """Waits until a notice stands so."""
        question = "SELECT state = :state FROM notice_cases WHERE notice_id = :notice_id"
        await self.until(question, state=int(state), notice_id=notice_id)
        return (await self.first.GetNotice(api.GetNoticeRequest(notice_id=notice_id))).notice

    async def copyright(self, asset_id: str, **changes: Any) -> api.SubmitNoticeResponse:
        """A valid notice of copyright."""
        return await self.anybody.SubmitNotice(copyright_notice(asset_id, **changes))

    async def decide(self, notice_id: str, action: str, by: Stub | None = None, **changes: Any) -> notices_pb2.Notice:
        reasons = REASONS if action in {"TAKE_DOWN", "RESTRICT"} else WHY
        request = api.DecideNoticeRequest(
            request_id=new_id("req"),
            notice_id=notice_id,
            action=notices_pb2.NoticeAction.Value(f"NOTICE_ACTION_{action}"),
            **({"reasons": reasons} | changes),
        )
        return (await (by or self.first).DecideNotice(request)).notice

    async def decide_appeal(self, notice_id: str, by: Stub, *, granted: bool, **changes: Any) -> notices_pb2.Notice:
        request = api.DecideNoticeAppealRequest(
            request_id=new_id("req"), notice_id=notice_id, granted=granted, **({"reasons": WHY} | changes)
        )
        return (await by.DecideNoticeAppeal(request)).notice

    async def answer(self, code: str, kind: str, **changes: Any) -> int:
        request = api.AnswerNoticeRequest(
            request_id=new_id("req"),
            link_code=code,
            kind=notices_pb2.NoticeAnswerKind.Value(f"NOTICE_ANSWER_KIND_{kind}"),
            **changes,
        )
        return (await self.anybody.AnswerNotice(request)).state

    async def case(self, code: str) -> api.OpenNoticeCaseResponse:
        return await self.anybody.OpenNoticeCase(api.OpenNoticeCaseRequest(link_code=code))

    async def letters(self, template: str) -> list[OutgoingLetter]:
        """Letters of one kind that wait, oldest first."""
        box = Letters(Seal(self.settings.secret(COMPLIANCE_KEY_FILE), "compliance"))
        async with self.database.transaction() as tx:
            rows = (await tx.execute(sa.select(letters).order_by(letters.c.message_id))).all()
        opened = [box.opened(row.message_id, row.sealed) for row in rows]
        for letter in opened:
            assert set(letter.parameters) == TEXTS.parameters(letter.template, "email"), letter.template
        return [letter for letter in opened if letter.template == template]

    async def uploader_code(self) -> str:
        """Code of the link in the newest statement of reasons."""
        return (await self.letters("statement-of-reasons"))[-1].parameters["link"].partition("#code=")[2]


def copyright_notice(asset_id: str, **changes: Any) -> api.SubmitNoticeRequest:
    usual: dict[str, Any] = {
        "request_id": new_id("req"),
        "kind": notices_pb2.NOTICE_KIND_COPYRIGHT,
        "location": f"https://films.example/watch/{asset_id}?format=hls",
        "work": "My film, at https://nora.example/film",
        "notifier": NOTIFIER,
        "good_faith": True,
        "accurate_under_perjury": True,
    }
    return api.SubmitNoticeRequest(**(usual | changes))


def intimate_notice(asset_id: str, **changes: Any) -> api.SubmitNoticeRequest:
    usual: dict[str, Any] = {
        "request_id": new_id("req"),
        "kind": notices_pb2.NOTICE_KIND_INTIMATE_IMAGE,
        "location": asset_id,
        "notifier": NOTIFIER,
        "good_faith": True,
        "depicted_or_authorised": True,
        "without_consent": True,
    }
    return api.SubmitNoticeRequest(**(usual | changes))


@contextlib.asynccontextmanager
async def a_desk(mesh: ProcessSettings, **changes: Any) -> AsyncIterator[Desk]:
    """Runs the service for the length of the block."""
    settings = settings_of(mesh, compliance_notices_watch_seconds=0.05, **changes)
    organisation_id, clock = organisation_of_operator(settings), FixedClock(T0)
    database = databases.lent("compliance", settings)
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(database.close)

        async def caller(name: str, *permissions: str) -> Stub:
            key = ""
            if permissions:
                key = stack.enter_context(
                    with_api_key(settings, organisation_id=organisation_id, permissions=permissions, name=name)
                )
            channel = await stack.enter_async_context(connected(settings, "compliance", CONTRACT, key=key))
            return notices_service_pb2_grpc.NoticesServiceStub(channel)

        bus = await stack.enter_async_context(on_the_bus(settings))
        await stack.enter_async_context(running("compliance", settings, wire, clock=clock))
        deciding = ("notices.read", "notices.decide", "notices.manage")
        yield Desk(
            settings,
            clock,
            database,
            bus,
            await caller("anybody"),
            await caller("first", *deciding),
            await caller("second", *deciding),
            await caller("reader", "notices.read"),
        )
