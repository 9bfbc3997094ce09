"""Texts in any script on a page: which font has which letters.

DejaVu Sans, which is embedded, has Latin, Greek, Cyrillic, Armenian, Georgian, Hebrew, Arabic and more. Chinese, Japanese and Korean are set in the
fonts that PDF readers bring for them (Adobe's character collections), which are not embedded.
"""

from __future__ import annotations

from functools import cache
from itertools import groupby
from pathlib import Path
from typing import Final
from xml.sax.saxutils import escape

from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.cidfonts import UnicodeCIDFont
from reportlab.pdfbase.ttfonts import TTFont

from services.kit.right_to_left import as_seen

FONT: Final = "DejaVuSans"
BOLD: Final = "DejaVuSans-Bold"
_FOLDER: Final = Path(__file__).with_name("fonts")
_JAPANESE: Final = "HeiseiKakuGo-W5"
_CHINESE: Final = "STSong-Light"
_KOREAN: Final = "HYGothic-Medium"


@cache
def ready() -> frozenset[int]:
    """Makes the fonts known, once. Returns the characters that DejaVu Sans has."""
    faces = [TTFont(name, str(_FOLDER / f"{name}.ttf")) for name in (FONT, BOLD)]
    for face in faces:
        pdfmetrics.registerFont(face)
    pdfmetrics.registerFontFamily(FONT, normal=FONT, bold=BOLD, italic=FONT, boldItalic=BOLD)
    for name in (_JAPANESE, _CHINESE, _KOREAN):
        pdfmetrics.registerFont(UnicodeCIDFont(name))
    return frozenset(faces[0].face.charToGlyph)


def markup(text: str) -> str:
    """A text as a paragraph takes it: what reads from right to left turned round, and each run in a font that has it."""
    known = ready()
    text = as_seen(text)
    asian = _asian_font(text)
    parts = []
    for ours, run in groupby(text, key=lambda letter: ord(letter) in known):
        words = escape("".join(run))
        parts.append(words if ours else f'<font face="{asian}">{words}</font>')
    return "".join(parts)


def _asian_font(text: str) -> str:
    if any("가" <= letter <= "힣" for letter in text):
        return _KOREAN
    if any("ぁ" <= letter <= "ヿ" for letter in text):
        return _JAPANESE
    return _CHINESE
