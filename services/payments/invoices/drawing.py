"""Draws an invoice as PDF, from its content and nothing else: the same content makes the same bytes."""

from __future__ import annotations

import io
from collections.abc import Iterable
from decimal import Decimal
from typing import Final

from reelmesh.payments.v1 import events_pb2
from reportlab.lib.colors import HexColor
from reportlab.lib.enums import TA_RIGHT
from reportlab.lib.pagesizes import A4
from reportlab.lib.styles import ParagraphStyle
from reportlab.lib.units import mm
from reportlab.pdfgen.canvas import Canvas
from reportlab.platypus import BaseDocTemplate, Flowable, Frame, PageTemplate, Paragraph, Spacer, Table, TableStyle

from services.kit.lettering import BOLD, FONT, markup
from services.payments.invoices.domain import Content, Party, TaxLine
from services.payments.payouts.files import decimal
from services.payments.taxes.domain import WHOLE

_INK: Final = HexColor("#1c2430")
_FAINT: Final = HexColor("#6b7686")
_RULE: Final = HexColor("#d5dae1")
_ACCENT: Final = HexColor("#2f5bd8")
_MARGIN: Final = 22 * mm
_WIDTH: Final = A4[0] - 2 * _MARGIN
_WHAT: Final = {
    events_pb2.ENTITLEMENT_KIND_SUBSCRIPTION: "Subscription",
    events_pb2.ENTITLEMENT_KIND_PURCHASE: "Purchase",
    events_pb2.ENTITLEMENT_KIND_RENTAL: "Rental",
    events_pb2.ENTITLEMENT_KIND_FREE: "Free access",
    events_pb2.ENTITLEMENT_KIND_GIFT: "Gift",
    events_pb2.ENTITLEMENT_KIND_PROMOTION: "Promotion",
}


def _style(
    name: str, *, size: float = 9.5, bold: bool = False, faint: bool = False, right: bool = False
) -> ParagraphStyle:
    return ParagraphStyle(
        name,
        fontName=BOLD if bold else FONT,
        fontSize=size,
        leading=size * 1.45,
        textColor=_FAINT if faint else _INK,
        alignment=TA_RIGHT if right else 0,
        wordWrap="CJK" if name == "cjk" else None,
    )


_PLAIN: Final = _style("plain")
_STRONG: Final = _style("strong", bold=True)
_SMALL: Final = _style("small", size=8, faint=True)
_LABEL: Final = _style("label", size=7.5, faint=True)
_SUM: Final = _style("sum", right=True)
_SUM_LABEL: Final = _style("sum label", right=True, faint=True)
_TOTAL: Final = _style("total", size=12, bold=True, right=True)
_TITLE: Final = _style("title", size=22, bold=True, right=True)


def drawn(content: Content) -> bytes:
    """The invoice as PDF, on A4."""
    out = io.BytesIO()
    markup("")  # has the fonts ready
    title = "Credit note" if content.credit_note else "Invoice"
    frame = Frame(_MARGIN, 28 * mm, _WIDTH, A4[1] - 50 * mm, 0, 0, 0, 0)

    def foot(canvas: Canvas, _document: object) -> None:
        canvas.setStrokeColor(_ACCENT)
        canvas.setLineWidth(3)
        canvas.line(_MARGIN, A4[1] - 14 * mm, _MARGIN + 24 * mm, A4[1] - 14 * mm)
        canvas.setStrokeColor(_RULE)
        canvas.setLineWidth(0.5)
        canvas.line(_MARGIN, 22 * mm, A4[0] - _MARGIN, 22 * mm)
        words = Paragraph(markup(content.footer or content.seller.name), _SMALL)
        _, height = words.wrap(_WIDTH - 30 * mm, 15 * mm)
        words.drawOn(canvas, _MARGIN, 20 * mm - height)
        canvas.setFont(FONT, 8)
        canvas.setFillColor(_FAINT)
        canvas.drawRightString(A4[0] - _MARGIN, 20 * mm - 8, f"{content.number} · page {canvas.getPageNumber()}")

    document = BaseDocTemplate(
        out,
        pagesize=A4,
        invariant=1,
        title=f"{title} {content.number}",
        author=content.seller.name,
        lang="en",
        pageTemplates=[PageTemplate(frames=[frame], onPage=foot)],
    )
    document.build(list(_story(content, title)))
    return out.getvalue()


def _story(content: Content, title: str) -> Iterable[Flowable]:
    yield _beside(_seller(content.seller), [Paragraph(title, _TITLE)], top=True)
    yield Spacer(0, 14 * mm)
    yield _beside(_party("Billed to", content.buyer), [_facts(content)])
    yield Spacer(0, 12 * mm)
    yield _lines(content)
    yield Spacer(0, 5 * mm)
    yield _sums(content)
    yield Spacer(0, 12 * mm)
    said = (
        f"Refunded by {content.paid_by}."
        if content.credit_note
        else f"Paid by {content.paid_by}. Nothing is left to pay."
    )
    yield Paragraph(markup(said), _SMALL)


def _seller(seller: Party) -> list[Flowable]:
    parts: list[Flowable] = [Paragraph(markup(seller.name), _style("seller", size=12, bold=True))]
    parts += [Paragraph(markup(line), _SMALL) for line in seller.address_lines]
    if seller.tax_number:
        parts.append(Paragraph(markup(f"Tax ID {seller.tax_number}"), _SMALL))
    return parts


def _party(label: str, party: Party) -> list[Flowable]:
    parts: list[Flowable] = [Paragraph(label.upper(), _LABEL), Paragraph(markup(party.name), _STRONG)]
    parts += [Paragraph(markup(line), _PLAIN) for line in party.address_lines]
    if party.tax_number:
        parts.append(Paragraph(markup(f"Tax ID {party.tax_number}"), _PLAIN))
    return parts


def _facts(content: Content) -> Flowable:
    facts = [
        ("Number", content.number),
        ("Date", content.issue_date.isoformat()),
        ("Refunded on" if content.credit_note else "Supplied on", content.supply_date.isoformat()),
    ]
    if content.corrects:
        facts.append(("For invoice", content.corrects))
    rows = [[Paragraph(name, _SUM_LABEL), Paragraph(value, _SUM)] for name, value in facts]
    return Table(rows, [36 * mm, 42 * mm], hAlign="RIGHT", style=_TIGHT)


def _lines(content: Content) -> Flowable:
    what = _WHAT.get(events_pb2.EntitlementKind.ValueType(content.kind), "Sale")
    about = f"of {content.asset_id}" if content.asset_id else "of everything" if content.kind else ""
    head = [Paragraph("DESCRIPTION", _LABEL), Paragraph("QUANTITY", _style("q", size=7.5, faint=True, right=True))]
    head.append(Paragraph(f"AMOUNT ({content.currency})", _style("a", size=7.5, faint=True, right=True)))
    words = ("Refund: " if content.credit_note else "") + what
    row = [
        [Paragraph(words, _STRONG), Paragraph(markup(about), _SMALL)],
        Paragraph("1", _SUM),
        Paragraph(_amount(content, content.net), _SUM),
    ]
    style = TableStyle(
        [
            ("LINEBELOW", (0, 0), (-1, 0), 0.8, _INK),
            ("LINEBELOW", (0, 1), (-1, -1), 0.5, _RULE),
            ("VALIGN", (0, 0), (-1, -1), "TOP"),
            ("LEFTPADDING", (0, 0), (0, -1), 0),
            ("RIGHTPADDING", (-1, 0), (-1, -1), 0),
            ("TOPPADDING", (0, 1), (-1, -1), 7),
            ("BOTTOMPADDING", (0, 1), (-1, -1), 9),
        ]
    )
    return Table([head, row], [_WIDTH - 70 * mm, 25 * mm, 45 * mm], style=style, repeatRows=1)


def _sums(content: Content) -> Flowable:
    rows = [[Paragraph("Net", _SUM_LABEL), Paragraph(_amount(content, content.net), _SUM)]]
    rows += [
        [Paragraph(markup(_tax_label(line)), _SUM_LABEL), Paragraph(_amount(content, line.minor_units), _SUM)]
        for line in content.taxes
    ]
    total = f"{content.currency} {_amount(content, content.gross)}"
    rows.append([Paragraph("Refunded" if content.credit_note else "Total", _TOTAL), Paragraph(total, _TOTAL)])
    style = TableStyle(
        [
            ("RIGHTPADDING", (-1, 0), (-1, -1), 0),
            ("TOPPADDING", (0, 0), (-1, -1), 2),
            ("BOTTOMPADDING", (0, 0), (-1, -1), 2),
            ("LINEABOVE", (0, -1), (-1, -1), 0.8, _INK),
            ("TOPPADDING", (0, -1), (-1, -1), 6),
        ]
    )
    return Table(rows, [45 * mm, 55 * mm], hAlign="RIGHT", style=style)


def _tax_label(line: TaxLine) -> str:
    rate = ""
    if line.millionths is not None:
        percent = Decimal(line.millionths) * 100 / WHOLE
        rate = f" {percent.normalize():f} %"
    return f"{line.name}{rate}" + (f" ({line.jurisdiction})" if line.jurisdiction else "")


def _amount(content: Content, minor_units: int) -> str:
    """An amount with thousands apart: `1 234.50`."""
    whole, point, rest = decimal(minor_units, content.currency).partition(".")
    return f"{int(whole):,}".replace(",", "\N{NO-BREAK SPACE}") + point + rest


_TIGHT: Final = TableStyle(
    [
        ("LEFTPADDING", (0, 0), (-1, -1), 0),
        ("RIGHTPADDING", (0, 0), (-1, -1), 0),
        ("TOPPADDING", (0, 0), (-1, -1), 0),
        ("BOTTOMPADDING", (0, 0), (-1, -1), 1),
        ("VALIGN", (0, 0), (-1, -1), "TOP"),
    ]
)


def _beside(left: list[Flowable], right: list[Flowable], *, top: bool = False) -> Flowable:
    widths = [_WIDTH * 0.6, _WIDTH * 0.4] if top else [_WIDTH - 78 * mm, 78 * mm]
    return Table([[left, right]], widths, style=_TIGHT)
