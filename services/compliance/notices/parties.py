"""What the parties of a case see of it, and how they answer."""

from __future__ import annotations

from typing import Final

from reelmesh.compliance.v1 import notices_pb2
from reelmesh.compliance.v1 import notices_service_pb2 as api

from services.compliance import refusals
from services.compliance.notices import store, titles
from services.compliance.notices.domain import Answer, Case, Hold, Party
from services.compliance.notices.elements import check_counter_notice, element_of
from services.compliance.notices.handling import Handling
from services.compliance.notices.messages import as_written, counter_notice_of, decision_of
from services.kit.clock import Clock, timestamp
from services.kit.database import Tx
from services.kit.sealing import Seal

_DEEDS: Final = {
    Answer.COUNTER_NOTICE: "counter_notice",
    Answer.APPEAL: "appeal",
    Answer.SUIT: "suit",
    Answer.WITHDRAWAL: "withdraw",
}


class Parties:
    """Speaks with whoever has a link."""

    def __init__(self, clock: Clock, seal: Seal, handling: Handling) -> None:
        self._clock = clock
        self._seal = seal
        self._handling = handling

    async def shown(self, tx: Tx, notice_id: str, party: Party) -> api.OpenNoticeCaseResponse:
        """A case as a party sees it: the uploader does not see who gave the notice, and sees why the material is restricted.

        Raises:
            Refusal: NOTICE_LINK_INVALID.
        """
        case, written = await self._case(tx, notice_id)
        answers = case.answers(party, self._clock.now())
        answer = api.OpenNoticeCaseResponse(
            notice_id=case.notice_id,
            party=notices_pb2.NoticeParty.ValueType(party),
            kind=notices_pb2.NoticeKind.ValueType(case.kind),
            state=notices_pb2.NoticeState.ValueType(case.state),
            asset_id=case.asset_id,
            explanation=str(written.get("explanation", "")),
            receive_time=timestamp(case.receive_time),
            due_time=timestamp(case.due_time),
            decision=decision_of(case),
            restore_after_time=timestamp(case.restore_after),
            answers=[notices_pb2.NoticeAnswerKind.ValueType(one) for one in answers],
            answer_before_time=timestamp(case.answer_before) if Answer.APPEAL in answers else None,
        )
        if Answer.COUNTER_NOTICE in answers and case.kind_rules.counter is not None:
            answer.counter_elements.extend(element_of(one) for one in case.kind_rules.counter.elements)
        if party is Party.UPLOADER:
            # Whoever gave the notice may know no more of it than where it is.
            answer.title = await titles.name_of(tx, case.asset_id)
        if party is Party.UPLOADER and case.hold != Hold():
            statements = await store.statements_of(tx, notice_id)
            if statements:
                answer.statement.CopyFrom(statements[-1])
        counter = await store.written(tx, self._seal, notice_id, store.COUNTER_NOTICE)
        if counter:
            answer.counter_notice.CopyFrom(counter_notice_of(counter))
        return answer

    async def answered(self, tx: Tx, notice_id: str, party: Party, request: api.AnswerNoticeRequest) -> Case:
        """The case after a party answered.

        Raises:
            Refusal: NOTICE_LINK_INVALID, NOTICE_ELEMENT_MISSING, NOTICE_WRONG_STATE or NOTICE_ANSWER_TOO_LATE.
        """
        before, _ = await self._case(tx, notice_id, for_update=True)
        answer, now = Answer(request.kind), self._clock.now()
        after = before.answered(answer, party, now, await self._handling.calendar(tx, before))
        if answer is Answer.COUNTER_NOTICE:
            counter = before.kind_rules.counter
            assert counter is not None  # or else it could not be answered so
            check_counter_notice(before.rules, counter, request)
            await store.write(tx, self._seal, notice_id, store.COUNTER_NOTICE, as_written(request.counter_notice))
        elif answer in {Answer.APPEAL, Answer.SUIT}:
            if not request.explanation.strip():
                wrong = [("explanation", "say why" if answer is Answer.APPEAL else "name the court and the number")]
                raise refusals.notice_element_missing(wrong, before.rules_date)
            await store.write(tx, self._seal, notice_id, store.APPEAL, {"explanation": request.explanation})
        await self._handling.moved(tx, before, after, _DEEDS[answer], actor=party.word)
        return after

    async def _case(self, tx: Tx, notice_id: str, *, for_update: bool = False) -> tuple[Case, dict[str, object]]:
        """The case of a link; a link ends with what people wrote."""
        case = await store.find(tx, notice_id, for_update=for_update)
        written = await store.written(tx, self._seal, notice_id, store.NOTICE)
        if case is None or not written:
            raise refusals.notice_link_invalid()
        return case, written
