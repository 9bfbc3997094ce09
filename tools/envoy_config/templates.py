"""Fills the YAML files of `envoy/`.

`${name}` inside a line stands for one value and becomes JSON, which is YAML too. `${name}` alone on a line stands for a block
of YAML text, which takes the line's indentation. Nothing is quoted by hand, and a name that nobody gave is an error.
"""

from __future__ import annotations

import json
import re
from functools import cache
from textwrap import indent
from typing import Final

from tools.envoy_config.settings import REPOSITORY

FOLDER: Final = REPOSITORY / "envoy"
_PLACE: Final = re.compile(r"^(?P<indentation> *)\$\{(?P<block>\w+)\}$|\$\{(?P<value>\w+)\}", re.MULTILINE)


class Block(str):
    """YAML text that stands on lines of its own."""

    __slots__ = ()


def filled(file: str, /, **given: object) -> Block:
    """The file `envoy/<file>.yaml` with its places filled and its comments left out.

    Raises:
        KeyError: the file has a place for something that was not given.
        TypeError: a block was given for a place inside a line, or a value for a line of its own.
    """

    def fill(place: re.Match[str]) -> str:
        block, value = place["block"], place["value"]
        content = given[block or value]
        if isinstance(content, Block) != bool(block):
            raise TypeError(f"envoy/{file}.yaml: {block or value} must be given as a {'block' if block else 'value'}")
        return indent(content, place["indentation"]) if isinstance(content, Block) else json.dumps(content)

    return Block(_PLACE.sub(fill, _without_comments(file)))


@cache  # an edge's configuration has some of them in it hundreds of times
def _without_comments(file: str) -> str:
    lines = (FOLDER / f"{file}.yaml").read_text(encoding="utf-8").splitlines()
    return "\n".join(line for line in lines if line.strip() and not line.lstrip().startswith("#"))


def joined(blocks: list[Block]) -> Block:
    """Blocks one below the other."""
    return Block("\n".join(blocks))
