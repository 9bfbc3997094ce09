"""What follows when a case moves: it is kept, announced and told to the parties, and the material goes or comes back, all in one transaction."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from reelmesh.compliance.v1 import events_pb2, notices_pb2

from services.compliance.notices import desks, infringements, store
from services.compliance.notices.calendar import Calendar
from services.compliance.notices.domain import OURSELVES, Action, Case, Hold, Party, State
from services.compliance.notices.letters import Letters, OutgoingLetter, one_line
from services.compliance.notices.links import Links
from services.kit.clock import timestamp
from services.kit.database import Tx
from services.kit.events import announce
from services.kit.ids import new_id
from services.kit.sealing import Seal

_USER: Final = "user/"
_DAY: Final = "%d %B %Y, %H:%M UTC"


@dataclass(frozen=True, slots=True)
class Reasons:
    """Why something is decided.

    Attributes:
        legal_ground, contractual_ground: one of them for what is restricted, none otherwise.
    """

    facts: str = ""
    legal_ground: str = ""
    contractual_ground: str = ""
    ground_explanation: str = ""


class Handling:
    """Moves cases.

    Args:
        seal: opens what people wrote.
        links: makes the links of letters.
        letters: takes letters.
    """

    def __init__(self, seal: Seal, links: Links, letters: Letters) -> None:
        self._seal = seal
        self._links = links
        self._letters = letters

    async def calendar(self, tx: Tx, case: Case) -> Calendar:
        """By which the deadlines of a case are counted."""
        return (await desks.find(tx, self._seal, case.organisation_id)).calendar(case.rules)

    async def opened(self, tx: Tx, case: Case) -> None:
        """Begins a case; what the notifier wrote is kept already."""
        await store.add(tx, case)
        await store.add_step(
            tx, case.notice_id, store.Step(State.RECEIVED, "receive", "notifier", case.receive_time, "")
        )
        await announce(
            tx,
            events_pb2.NoticeReceived(
                notice_id=case.notice_id,
                organisation_id=case.organisation_id,
                asset_id=case.asset_id,
                kind=notices_pb2.NoticeKind.ValueType(case.kind),
                due_time=timestamp(case.due_time),
                receive_time=timestamp(case.receive_time),
            ),
        )
        told = {"about": case.asset_id, "due": _moment(case.due_time)}
        await self._to_notifier(tx, case, "notice-received", told, case.receive_time)

    async def moved(
        self, tx: Tx, before: Case, after: Case, deed: str, *, actor: str, reasons: Reasons | None = None
    ) -> None:
        """Keeps that a case moved, and does what follows."""
        now = after.change_time
        await store.put(tx, after)
        comment = reasons.facts if reasons else ""
        await store.add_step(tx, after.notice_id, store.Step(after.state, deed, actor, now, comment))
        statement, digest = None, ""
        if reasons is not None and deed in {"take_down", "restrict"}:
            statement = _statement(after, reasons, now)
            kept = await store.add_statement(tx, after.organisation_id, statement, now)
            digest = hashlib.sha256(kept).hexdigest()
        await self._hold(tx, before, after, now)
        await infringements.count(tx, before, after, now)
        await announce(
            tx,
            events_pb2.NoticeStepped(
                notice_id=after.notice_id,
                organisation_id=after.organisation_id,
                asset_id=after.asset_id,
                state=notices_pb2.NoticeState.ValueType(after.state),
                deed=deed,
                actor=actor,
                statement_id=statement.statement_id if statement else "",
                statement_sha256=digest,
                change_time=timestamp(now),
            ),
        )
        await self._tell(tx, before, after, deed, statement)

    async def term_ended(self, tx: Tx, before: Case, after: Case, deed: str, now: datetime) -> None:
        """Keeps that a term ended: of some, the case moves; of others, somebody is told."""
        if deed in {"reminded", "escalated"}:
            await self._due(tx, before, after, deed, now)
            return
        automatic = after.kind_rules.automatic
        reasons = None
        if deed == "take_down" and automatic is not None:
            reasons = Reasons(automatic.facts, automatic.legal_ground, "", automatic.ground_explanation)
        await self.moved(tx, before, after, deed, actor=OURSELVES, reasons=reasons)

    async def _due(self, tx: Tx, before: Case, after: Case, deed: str, now: datetime) -> None:
        await store.put(tx, after)
        await store.add_step(tx, after.notice_id, store.Step(after.state, deed, OURSELVES, now, ""))
        await announce(
            tx,
            events_pb2.NoticeReminded(
                notice_id=after.notice_id,
                organisation_id=after.organisation_id,
                due_time=timestamp(before.due_time),
                overdue=deed == "escalated",
                change_time=timestamp(now),
            ),
        )
        desk = await desks.find(tx, self._seal, after.organisation_id)
        told = {"notice": after.notice_id, "about": after.asset_id, "due": _moment(before.due_time)}
        template = "notice-overdue" if deed == "escalated" else "notice-due"
        await self._letters.put(tx, OutgoingLetter(desk.contact_email, "", template, "", told), now)

    async def _hold(self, tx: Tx, before: Case, after: Case, now: datetime) -> None:
        """Lets the material go or come back, if that changed."""
        if before.hold == after.hold:
            return
        ground = events_pb2.TakeDownGround.ValueType(after.kind_rules.ground)
        told: dict[str, Any] = {
            "asset_id": after.asset_id,
            "organisation_id": after.organisation_id,
            "ground": ground,
            "change_time": timestamp(now),
            "case_id": after.notice_id,
        }
        if after.hold.down:
            await announce(tx, events_pb2.MaterialTakenDown(**told))
        elif after.hold == Hold():
            await announce(tx, events_pb2.MaterialRestored(**told))
        else:
            await announce(tx, events_pb2.MaterialRestricted(**told, territories=after.hold.territories))

    async def _tell(
        self, tx: Tx, before: Case, after: Case, deed: str, statement: notices_pb2.StatementOfReasons | None
    ) -> None:
        now, about = after.change_time, {"about": after.asset_id}
        if deed in {"take_down", "restrict", "reject", "restore"}:
            told = about | {"outcome": _OUTCOMES[deed], "why": one_line(after.explanation) or "-"}
            await self._to_notifier(tx, after, "notice-decided", told, now)
        if statement is not None:
            await self._to_uploader(tx, after, "statement-of-reasons", _letter_of(statement), now)
        elif deed == "counter_notice":
            told = about | {"restored": _moment(after.restore_after)}
            await self._to_notifier(tx, after, "notice-countered", told, now)
        elif deed == "deny_appeal":
            told = about | {"why": one_line(after.explanation) or "-"}
            send = self._to_notifier if after.appellant == Party.NOTIFIER else self._to_uploader
            await send(tx, after, "notice-appeal-denied", told, now)
        elif deed in {"note_suit", "suit"}:
            await self._to_uploader(tx, after, "notice-suit", about, now)
        elif before.hold != Hold() and after.hold == Hold():
            await self._to_uploader(tx, after, "notice-restored", about, now)

    async def _to_notifier(self, tx: Tx, case: Case, template: str, told: dict[str, str], now: datetime) -> None:
        notice = await store.written(tx, self._seal, case.notice_id, store.NOTICE)
        told = told | {"notice": case.notice_id, "link": self._links.url(case.notice_id, Party.NOTIFIER)}
        letter = OutgoingLetter(notice.get("notifier", {}).get("email", ""), "", template, case.language, told)
        await self._letters.put(tx, letter, now)

    async def _to_uploader(self, tx: Tx, case: Case, template: str, told: dict[str, str], now: datetime) -> None:
        """To the account that uploaded the material; where a program did, to the desk of its organisation."""
        told = told | {"notice": case.notice_id, "link": self._links.url(case.notice_id, Party.UPLOADER)}
        account_id = case.uploader.removeprefix(_USER) if case.uploader.startswith(_USER) else ""
        email = "" if account_id else (await desks.find(tx, self._seal, case.organisation_id)).contact_email
        await self._letters.put(tx, OutgoingLetter(email, account_id, template, "", told), now)


_OUTCOMES: Final = {
    "take_down": "The material was taken down.",
    "restrict": "The material is not shown in some countries any more.",
    "reject": "The material stays as it is.",
    "restore": "The material is shown again.",
}
_RESTRICTIONS: Final = {
    Action.TAKE_DOWN: "It is not shown any more, anywhere.",
    Action.RESTRICT: "It is not shown any more in: ",
}


def _statement(case: Case, reasons: Reasons, now: datetime) -> notices_pb2.StatementOfReasons:
    """The statement of reasons of a restriction (DSA, article 17(3))."""
    return notices_pb2.StatementOfReasons(
        statement_id=new_id("sor"),
        notice_id=case.notice_id,
        asset_id=case.asset_id,
        restriction=notices_pb2.NoticeAction.ValueType(case.action),
        territories=case.territories,
        facts=reasons.facts,
        from_notice=True,
        automated_decision=case.automated,
        legal_ground=reasons.legal_ground,
        contractual_ground=reasons.contractual_ground,
        ground_explanation=reasons.ground_explanation,
        redress=case.rules.redress,
        create_time=timestamp(now),
    )


def _letter_of(statement: notices_pb2.StatementOfReasons) -> dict[str, str]:
    """A statement of reasons as its letter takes it."""
    restriction = _RESTRICTIONS[Action(statement.restriction)] + ", ".join(statement.territories)
    automated = "by automated means" if statement.automated_decision else "by people, without automated means"
    return {
        "about": statement.asset_id,
        "statement": statement.statement_id,
        "restriction": one_line(restriction),
        "facts": one_line(statement.facts),
        "how": f"It follows from a notice of somebody. The material was not looked for; it was decided {automated}.",
        "ground": one_line(statement.legal_ground or statement.contractual_ground),
        "ground_kind": "law" if statement.legal_ground else "terms of service",
        "why": one_line(statement.ground_explanation),
        "redress": one_line(" ".join(statement.redress)),
    }


def _moment(moment: datetime | None) -> str:
    return moment.strftime(_DAY) if moment else "-"
