"""Which durable consumers the event stream has by right: the list in `services/consumers.toml`, read."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any, Final

FILE: Final = Path(__file__).resolve().parents[1] / "consumers.toml"


def declared(file: Path = FILE) -> frozenset[str]:
    """Names of the durable consumers of all services, whether these run or not.

    Raises:
        ValueError: the file is no such list.
    """
    content: Any = tomllib.loads(file.read_text(encoding="utf-8"))
    try:
        names = [name for of_one in content["consumers"].values() for name in of_one]
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{file} must hold `consumers`, lists of names by service") from error
    if not all(isinstance(name, str) for name in names):
        raise ValueError(f"{file} must hold names of consumers as texts")
    return frozenset(names)
