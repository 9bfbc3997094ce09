"""Draws a notice as PDF, from its words and nothing else: the same words make the same bytes."""

from __future__ import annotations

import io
from collections.abc import Iterable
from typing import Final

from reportlab.lib.colors import HexColor
from reportlab.lib.pagesizes import A4
from reportlab.lib.styles import ParagraphStyle
from reportlab.lib.units import mm
from reportlab.pdfgen.canvas import Canvas
from reportlab.platypus import BaseDocTemplate, Flowable, Frame, PageTemplate, Paragraph, Spacer

from services.kit.lettering import BOLD, FONT, markup
from services.protection.leaks.wording import Notifier, Wording

_INK: Final = HexColor("#1c2430")
_FAINT: Final = HexColor("#6b7686")
_MARGIN: Final = 22 * mm
_PLAIN: Final = ParagraphStyle("plain", fontName=FONT, fontSize=9.5, leading=14, textColor=_INK)
_INDENTED: Final = ParagraphStyle("indented", parent=_PLAIN, leftIndent=7 * mm)
_TITLE: Final = ParagraphStyle("title", fontName=BOLD, fontSize=12, leading=17, textColor=_INK)
_HEAD: Final = ParagraphStyle("head", fontName=FONT, fontSize=8.5, leading=12, textColor=_FAINT)


def drawn(wording: Wording, notifier: Notifier, reference: str) -> bytes:
    """The notice as PDF, on A4."""
    out = io.BytesIO()
    markup("")  # has the fonts ready

    def foot(canvas: Canvas, _document: object) -> None:
        canvas.setFont(FONT, 8)
        canvas.setFillColor(_FAINT)
        canvas.drawString(_MARGIN, 14 * mm, reference)
        canvas.drawRightString(A4[0] - _MARGIN, 14 * mm, f"page {canvas.getPageNumber()}")

    frame = Frame(_MARGIN, 22 * mm, A4[0] - 2 * _MARGIN, A4[1] - 44 * mm, 0, 0, 0, 0)
    document = BaseDocTemplate(
        out,
        pagesize=A4,
        invariant=1,
        title=wording.subject,
        author=notifier.rights_holder,
        lang="en",
        pageTemplates=[PageTemplate(frames=[frame], onPage=foot)],
    )
    document.build(list(_story(wording, notifier)))
    return out.getvalue()


def _story(wording: Wording, notifier: Notifier) -> Iterable[Flowable]:
    for line in (notifier.rights_holder, notifier.address, f"{notifier.email} · {notifier.phone}"):
        yield Paragraph(markup(line), _HEAD)
    yield Spacer(0, 10 * mm)
    yield Paragraph(markup(wording.subject), _TITLE)
    yield Spacer(0, 6 * mm)
    for line in wording.body.splitlines():
        if line.strip():
            yield Paragraph(markup(line.strip()), _INDENTED if line.startswith("   ") else _PLAIN)
        else:
            yield Spacer(0, 3 * mm)
