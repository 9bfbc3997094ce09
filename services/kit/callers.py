"""Who may connect to which server: the list in `services/callers.toml`, read."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

FILE: Final = Path(__file__).resolve().parents[1] / "callers.toml"


class ServerNotListed(Exception):
    """Nobody said who may call a server; it does not start so."""


@dataclass(frozen=True, slots=True)
class Callers:
    """Services that may connect to one server.

    Attributes:
        calls: those that may call its methods, each as its contract says.
        health: those that may ask whether it serves, and nothing else.
    """

    calls: frozenset[str]
    health: frozenset[str] = field(default_factory=frozenset)


def listed(file: Path = FILE) -> Mapping[str, Callers]:
    """The whole list, by server.

    Raises:
        ValueError: the file is no such list.
    """
    content: Any = tomllib.loads(file.read_text(encoding="utf-8"))
    try:
        health = frozenset(_names(content["health"]))
        return {server: Callers(frozenset(_names(callers)), health) for server, callers in content["servers"].items()}
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(
            f"{file} must hold `servers`, lists of names by server, and `health`, a list of names"
        ) from error


def callers_of(server: str, file: Path = FILE) -> Callers:
    """Who may connect to one server.

    Raises:
        ServerNotListed: the list does not name it.
    """
    try:
        return listed(file)[server]
    except KeyError:
        raise ServerNotListed(f"{file} does not say who may call {server}; add a line") from None


def everyone(file: Path = FILE) -> list[str]:
    """Every service that needs a certificate: those that serve and those that call, sorted."""
    servers = listed(file)
    own = {server.partition(".")[0] for server in servers}
    return sorted({*own, *(name for callers in servers.values() for name in callers.calls | callers.health)})


def _names(names: Any) -> list[str]:
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise TypeError("not a list of names")
    return names
