"""Looks for secrets where none may be, in every form in which they could have got there."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import re
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Final
from urllib.parse import quote, quote_plus

import numpy as np
from numpy.typing import NDArray

_SHORTEST: Final = 8
_SPREAD: Final = np.uint64(0x9E3779B97F4A7C15)
"""An odd number whose multiples differ much (Knuth's multiplicative hashing, by the golden ratio)."""


def forms(secret: bytes) -> set[bytes]:
    """How a secret may turn up in a text: as it is, in hex, in base64 of both alphabets, in a URL, in JSON, as Python shows it."""
    text = secret.decode("latin-1")
    octal = "".join(f"\\{byte:03o}" for byte in secret)
    made = {secret, secret.hex().encode(), secret.hex().upper().encode(), octal.encode()}
    for encoded in (base64.b64encode(secret), base64.urlsafe_b64encode(secret)):
        made.add(encoded.rstrip(b"="))
    for shown in (
        quote(secret, safe=""),
        quote(secret),
        quote_plus(secret),
        json.dumps(text)[1:-1],
        repr(secret)[2:-1],
    ):
        made.add(shown.encode())
    return {form for form in made if len(form) >= _SHORTEST}


def _stands_in(form: bytes, text: bytes) -> bool:
    if form.isdigit():  # a one-time code: not where it is a part of a longer number or id
        return re.search(rb"(?<![0-9A-Za-z.])" + form + rb"(?![0-9A-Za-z.])", text) is not None
    return form in text


def leaks(secrets: Mapping[str, bytes], texts: Mapping[str, bytes]) -> list[str]:
    """Which secret stands where. Empty when all is well.

    Args:
        secrets: by a name that may be shown.
        texts: everything that was written, by where.
    """
    by_head: dict[bytes, set[tuple[str, bytes]]] = {}
    for name, secret in secrets.items():
        for form in forms(secret):
            by_head.setdefault(form[:_SHORTEST], set()).add((name, form))
    heads = np.frombuffer(b"".join(by_head), np.uint64)
    return sorted(
        f"{name} stands in {where}: …{_around(form, text)}…"
        for where, text in texts.items()
        for head in _heads_in(text, heads)
        for name, form in by_head[head]
        if _stands_in(form, text)
    )


def _heads_in(text: bytes, heads: NDArray[np.uint64]) -> set[bytes]:
    """Which of these eight bytes stand in a text. All of them are looked for at once: thousands of searches in a long text take minutes."""
    perhaps = np.zeros(2**16, np.bool_)
    perhaps[_place(heads)] = True
    found: set[bytes] = set()
    for start in range(min(_SHORTEST, len(text) - _SHORTEST + 1)):
        windows = np.frombuffer(text, np.uint64, (len(text) - start) // _SHORTEST, start)
        candidates = np.unique(windows[perhaps[_place(windows)]])
        found.update(one.tobytes() for one in candidates[np.isin(candidates, heads)])
    return found


def _place(windows: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Where eight bytes stand in a table of 2^16; others may stand there, too."""
    return (windows * _SPREAD) >> np.uint64(48)


def _around(form: bytes, text: bytes) -> str:
    """What stands around a secret, to find who wrote it; the secret itself is left out."""
    at = text.index(form)
    return f"{text[max(0, at - 120) : at]!r} [the secret] {text[at + len(form) : at + len(form) + 40]!r}"


def files_below(folder: Path, but: Collection[str] = ()) -> Iterator[tuple[str, bytes]]:
    """Every file of a folder with its content, but for folders of some names. Whoever writes there may go on: what goes meanwhile is left out."""
    for path, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if name not in but]
        for file in (Path(path) / name for name in names):
            with contextlib.suppress(FileNotFoundError):
                if file.is_file():
                    yield str(file.relative_to(folder.parent)), file.read_bytes()
