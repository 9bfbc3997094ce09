"""The index of all records as pages to be printed."""

from __future__ import annotations

import io
from collections.abc import Iterable
from datetime import datetime
from typing import Final

from reportlab.lib.colors import HexColor
from reportlab.lib.pagesizes import A4, landscape
from reportlab.lib.styles import ParagraphStyle
from reportlab.lib.units import mm
from reportlab.pdfgen.canvas import Canvas
from reportlab.platypus import BaseDocTemplate, Flowable, Frame, PageTemplate, Paragraph, Spacer, Table, TableStyle

from services.compliance.performers.inspection.index import By, Line, Records, lines, said_of_document, said_of_release
from services.compliance.performers.store import Settings
from services.kit.lettering import BOLD, FONT, markup

_PAGE: Final = landscape(A4)
_MARGIN: Final = 14 * mm
_WIDTH: Final = _PAGE[0] - 2 * _MARGIN
_INK: Final = HexColor("#1c2430")
_RULE: Final = HexColor("#d5dae1")
_TITLE: Final = ParagraphStyle("title", fontName=BOLD, fontSize=15, leading=20, textColor=_INK)
_HEADING: Final = ParagraphStyle("heading", fontName=BOLD, fontSize=11, leading=15, textColor=_INK, spaceBefore=6 * mm)
_PLAIN: Final = ParagraphStyle("plain", fontName=FONT, fontSize=7, leading=9.5, textColor=_INK, splitLongWords=1)
_STRONG: Final = ParagraphStyle("strong", parent=_PLAIN, fontName=BOLD)
_HEADINGS: Final = {By.LEGAL_NAME: "By legal name", By.OTHER_NAME: "By every other name", By.TITLE: "By title"}
_COLUMNS: Final = ("Entry", "Performer", "Production", "Identity documents", "Releases")
_WIDTHS: Final = tuple(_WIDTH * share for share in (0.15, 0.2, 0.23, 0.21, 0.21))
_STYLE: Final = TableStyle(
    [
        ("LINEBELOW", (0, 0), (-1, 0), 0.8, _INK),
        ("LINEBELOW", (0, 1), (-1, -1), 0.4, _RULE),
        ("VALIGN", (0, 0), (-1, -1), "TOP"),
        ("LEFTPADDING", (0, 0), (-1, -1), 2),
        ("RIGHTPADDING", (0, 0), (-1, -1), 4),
    ]
)


def as_pdf(records: Records, settings: Settings, now: datetime) -> bytes:
    """The three indexes, one after another, on A4."""
    out = io.BytesIO()
    markup("")  # has the fonts ready

    def foot(canvas: Canvas, _document: object) -> None:
        canvas.setFont(FONT, 7)
        canvas.drawString(_MARGIN, 8 * mm, f"{now:%Y-%m-%d %H:%M} UTC")
        canvas.drawRightString(_PAGE[0] - _MARGIN, 8 * mm, f"page {canvas.getPageNumber()}")

    frame = Frame(_MARGIN, 14 * mm, _WIDTH, _PAGE[1] - 26 * mm, 0, 0, 0, 0)
    document = BaseDocTemplate(
        out,
        pagesize=_PAGE,
        invariant=1,
        title="Index of records (18 U.S.C. 2257, 28 CFR part 75)",
        lang="en",
        pageTemplates=[PageTemplate(frames=[frame], onPage=foot)],
    )
    document.build(list(_story(records, settings)))
    return out.getvalue()


def _story(records: Records, settings: Settings) -> Iterable[Flowable]:
    yield Paragraph("Index of records", _TITLE)
    yield Paragraph("18 U.S.C. 2257, 28 CFR part 75", _PLAIN)
    custodian = [settings.custodian, settings.custodian_title, *settings.street_address.splitlines()]
    yield Paragraph(
        markup("Custodian of records: " + (", ".join(part for part in custodian if part) or "nobody is named")), _PLAIN
    )
    yield Spacer(0, 3 * mm)
    for by in By:
        yield Paragraph(_HEADINGS[by], _HEADING)
        found = lines(records, by)
        if not found:
            yield Paragraph("None.", _PLAIN)
            continue
        head = [Paragraph(name, _STRONG) for name in _COLUMNS]
        yield Table([head, *(_row(records, line) for line in found)], _WIDTHS, style=_STYLE, repeatRows=1)


def _row(records: Records, line: Line) -> list[list[Flowable]]:
    person, production = line.performer.person, line.production
    performer = [person.legal_name, f"born {person.date_of_birth}", *person.other_names, line.performer.performer_id]
    shown = (
        []
        if production is None
        else [
            production.title,
            f"filmed from {production.production_date} on",
            *production.asset_ids,
            *production.urls,
            production.production_id,
        ]
    )
    cells = (
        performer,
        shown,
        [said_of_document(records, one) for one in line.documents],
        [said_of_release(records, one) for one in line.releases],
    )
    row: list[list[Flowable]] = [[Paragraph(markup(line.entry), _STRONG)]]
    row += [[Paragraph(markup(text), _PLAIN) for text in cell] for cell in cells]
    return row
