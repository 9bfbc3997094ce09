"""Draws a report as PDF, on A4: the same report makes the same bytes. All its words are our own, so the fonts that every reader has will do."""

from __future__ import annotations

import io
from typing import Final
from xml.sax.saxutils import escape

from reportlab.lib.colors import HexColor
from reportlab.lib.pagesizes import A4, landscape
from reportlab.lib.styles import ParagraphStyle
from reportlab.lib.units import mm
from reportlab.pdfgen.canvas import Canvas
from reportlab.platypus import Paragraph, SimpleDocTemplate, Spacer, Table, TableStyle

from services.compliance.notices.reporting.numbers import Report

_INK: Final = HexColor("#1c2430")
_RULE: Final = HexColor("#d5dae1")
_MARGIN: Final = 18 * mm
_WIDTH: Final = landscape(A4)[0] - 2 * _MARGIN
_TITLE: Final = ParagraphStyle("title", fontName="Helvetica-Bold", fontSize=14, leading=19, textColor=_INK)
_CELL: Final = ParagraphStyle("cell", fontName="Helvetica", fontSize=8, leading=10.5, textColor=_INK)
_HEADING: Final = ParagraphStyle("heading", parent=_CELL, fontName="Helvetica-Bold")
_LINES: Final = TableStyle(
    [
        ("LINEBELOW", (0, 0), (-1, -1), 0.4, _RULE),
        ("VALIGN", (0, 0), (-1, -1), "TOP"),
        ("LEFTPADDING", (0, 0), (-1, -1), 2),
        ("RIGHTPADDING", (0, 0), (-1, -1), 4),
        ("TOPPADDING", (0, 0), (-1, -1), 2),
        ("BOTTOMPADDING", (0, 0), (-1, -1), 2),
    ]
)


def drawn(report: Report) -> bytes:
    """The report as PDF."""
    out = io.BytesIO()
    document = SimpleDocTemplate(
        out,
        pagesize=landscape(A4),
        leftMargin=_MARGIN,
        rightMargin=_MARGIN,
        topMargin=_MARGIN,
        bottomMargin=_MARGIN,
        invariant=1,
        title=report.title,
        lang="en",
    )
    cells = [[Paragraph(escape(word), _HEADING) for word in report.headings]]
    cells += [[Paragraph(escape(word), _CELL) for word in row] for row in report.rows]
    widest = 2.4 if len(report.headings) == 4 else 2.0
    shares = [widest] + [1.0] * (len(report.headings) - 1)
    widths = [_WIDTH * share / sum(shares) for share in shares]
    table = Table(cells, widths, repeatRows=1, style=_LINES)
    story = [Paragraph(escape(report.title), _TITLE), Paragraph(escape(report.period), _CELL), Spacer(0, 5 * mm), table]
    document.build(story, onFirstPage=_foot, onLaterPages=_foot)
    return out.getvalue()


def _foot(canvas: Canvas, _document: object) -> None:
    canvas.setFont("Helvetica", 8)
    canvas.setFillColor(_INK)
    canvas.drawRightString(landscape(A4)[0] - _MARGIN, 10 * mm, f"page {canvas.getPageNumber()}")
