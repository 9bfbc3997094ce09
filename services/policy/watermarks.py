"""Which variant of each segment of a watermarked package a session gets."""

from __future__ import annotations

import re
from collections import OrderedDict
from typing import Final

from services.kit.codewords import Code, bit_of

FOLDERS: Final = (".a", ".b")
"""Where variants a and b lie below a package. Nobody can ask for them by name: no path that is let in has a part that begins with a dot."""

_PICTURE: Final = re.compile(r"video/[^/]+/([0-9]+)\.m4s")
_REMEMBERED: Final = 20_000


class Watermarks:
    """Codewords of sessions.

    Args:
        root: the install's secret, `services.kit.codewords.KEY_FILE`.
        remembered: how many codewords are kept in memory.
    """

    def __init__(self, root: bytes, remembered: int = _REMEMBERED) -> None:
        self._root = root
        self._remembered = remembered
        self._codes: OrderedDict[tuple[str, int], Code] = OrderedDict()
        self._words: OrderedDict[str, str] = OrderedDict()

    def codeword(self, asset_id: str, session_id: str, *, colluders: int, segments: int) -> str:
        """The codeword of a session, which plays one package of an asset, for as many segments."""
        word = self._words.get(session_id)
        if word is None:
            word = self._words[session_id] = self._code(asset_id, colluders).codeword(session_id, segments)
            if len(self._words) > self._remembered:
                self._words.popitem(last=False)
        return word

    def _code(self, asset_id: str, colluders: int) -> Code:
        code = self._codes.get((asset_id, colluders))
        if code is None:
            code = self._codes[asset_id, colluders] = Code.of(self._root, asset_id, colluders)
            if len(self._codes) > self._remembered:
                self._codes.popitem(last=False)
        return code


def segment_of(file: str) -> int | None:
    """The number of a picture's segment, by its path below the package; None for all else, which is not marked."""
    found = _PICTURE.fullmatch(file)
    return int(found[1]) if found else None


def variant_of(codeword: str, segment: int) -> str:
    """The folder of the variant that a codeword says."""
    return FOLDERS[bit_of(codeword, segment)]
