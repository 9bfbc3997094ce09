"""What notices, counter-notices and decisions have to say, held against what they do say. Pure: no I/O."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from google.protobuf.message import Message
from reelmesh.compliance.v1 import notices_pb2, notices_service_pb2

from services.compliance import refusals
from services.compliance.notices.domain import Action
from services.compliance.notices.rules import CounterRules, Element, KindRules, Rules

_NAMELESS: Final = frozenset({"notifier.name", "notifier.email"})


def check_notice(rules: Rules, kind: KindRules, request: notices_service_pb2.SubmitNoticeRequest) -> None:
    """Goes on when a notice says all that its kind asks for.

    Raises:
        Refusal: NOTICE_ELEMENT_MISSING, naming each element.
    """
    category = kind.category(request.category)
    anonymous = category is not None and category.anonymous
    missing = [
        one
        for one in _missing(kind.elements, request)
        if not (anonymous and one.name in _NAMELESS) and one.name != "category"
    ]
    asked = any(one.name == "category" for one in kind.elements)
    wrong = [(one.name, _why(one)) for one in missing]
    if (asked and category is None) or (not asked and request.category):
        known = ", ".join(one.name for one in kind.categories) or "none"
        wrong.insert(0, ("category", f"choose what the notice is about: {known}"))
    if wrong:
        raise refusals.notice_element_missing(wrong, rules.since.isoformat())


def check_counter_notice(rules: Rules, counter: CounterRules, request: notices_service_pb2.AnswerNoticeRequest) -> None:
    """Goes on when a counter-notice says all that it has to.

    Raises:
        Refusal: as above.
    """
    wrong = [(one.name, _why(one)) for one in _missing(counter.elements, request)]
    if wrong:
        raise refusals.notice_element_missing(wrong, rules.since.isoformat())


def check_reasons(
    rules: Rules, action: Action, reasons: notices_service_pb2.NoticeReasons, territories: Iterable[str]
) -> None:
    """Goes on when a decision says why: what is restricted needs all that a statement of reasons does (DSA, article 17(3)).

    Raises:
        Refusal: as above.
    """
    wrong = [] if reasons.facts.strip() else [("reasons.facts", "say what the decision relies on")]
    if action in {Action.TAKE_DOWN, Action.RESTRICT}:
        if bool(reasons.legal_ground.strip()) == bool(reasons.contractual_ground.strip()):
            wrong.append(
                ("reasons.legal_ground", "name the law, or the clause of your terms, that it offends: one of them")
            )
        if not reasons.ground_explanation.strip():
            wrong.append(("reasons.ground_explanation", "say why the material offends it"))
    if (action is Action.RESTRICT) != bool(list(territories)):
        wrong.append(("territories", "name territories for a restriction, and for nothing else"))
    if wrong:
        raise refusals.notice_element_missing(wrong, rules.since.isoformat())


def _missing(elements: Iterable[Element], request: Message) -> list[Element]:
    return [one for one in elements if one.required and not _said(request, one.name.split("."))]


def _said(message: Message, path: list[str]) -> bool:
    value = getattr(message, path[0])
    if len(path) > 1:
        return _said(value, path[1:])
    return bool(value.strip()) if isinstance(value, str) else bool(value)


def _why(element: Element) -> str:
    return "has to be declared" if element.statement else "is missing"


def form_of(kind: KindRules) -> notices_pb2.NoticeForm:
    """A kind as the form shows it."""
    return notices_pb2.NoticeForm(
        kind=notices_pb2.NoticeKind.ValueType(kind.kind),
        title=kind.title,
        help=kind.help,
        promise=kind.promise,
        elements=[element_of(one) for one in kind.elements],
        categories=[
            notices_pb2.NoticeCategory(name=one.name, title=one.title, anonymous=one.anonymous)
            for one in kind.categories
        ],
    )


def element_of(element: Element) -> notices_pb2.NoticeElement:
    """An element as forms show it."""
    return notices_pb2.NoticeElement(name=element.name, required=element.required, statement=element.statement)
