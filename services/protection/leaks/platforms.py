"""Which platform a URL is of, and how that takes notices: a list, with one of the operator's on top."""

from __future__ import annotations

from pathlib import Path
from typing import Final, Literal
from urllib.parse import urlsplit

import yaml
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, model_validator

from services.protection.leaks.takedowns import Carrier

FILE: Final = Path(__file__).with_name("platforms.yaml")
_NAME: Final = r"^[a-z0-9][a-z0-9.-]{0,62}$"


class Platform(BaseModel):
    """One platform.

    Attributes:
        hosts: of its pages; hosts below them are its own too.
        destination: e-mail address, page of the form, or endpoint.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(pattern=_NAME)
    hosts: tuple[str, ...] = ()
    carrier: Literal["EMAIL", "FORM", "API"] = "FORM"
    destination: str = ""

    @model_validator(mode="after")
    def _fits(self) -> Platform:
        if self.carrier == "EMAIL" and "@" not in self.destination:
            raise ValueError(f"{self.name}: EMAIL needs an address as destination")
        if self.carrier == "API" and not self.destination.startswith(("https://", "http://127.0.0.1:")):
            raise ValueError(f"{self.name}: API needs an https:// endpoint as destination")
        return self

    @property
    def carried_by(self) -> Carrier:
        """How it takes notices."""
        return Carrier[self.carrier]


class Platforms:
    """All that are known."""

    def __init__(self, known: list[Platform]) -> None:
        self._by_name = {one.name: one for one in known}
        self._by_host = {host: one for one in self._by_name.values() for host in one.hosts}

    @classmethod
    def read(cls, more: Path | None = None) -> Platforms:
        """Reads the list, and the operator's.

        Raises:
            ValueError: one is not of that form.
        """
        files = [FILE, *([more] if more else [])]
        content = [entry for file in files for entry in yaml.safe_load(file.read_text(encoding="utf-8")) or ()]
        return cls(TypeAdapter(list[Platform]).validate_python(content))

    def of(self, url: str, named: str = "") -> Platform:
        """The platform that is named, or else that a URL is of. One that is not known takes notices by a form that is not known either."""
        host = host_of(url)
        if named:
            return self._by_name.get(named) or Platform(name=named)
        parts = host.split(".")
        for start in range(len(parts)):
            if found := self._by_host.get(".".join(parts[start:])):
                return found
        return Platform(name=host[:63]) if host else Platform(name="elsewhere")

    def label(self, url: str, named: str = "") -> str:
        """Name of the platform; empty when nothing is known."""
        return self.of(url, named).name if url or named else ""


def host_of(url: str) -> str:
    """Host of a URL, in lower case; empty where it has none that can be a name."""
    try:
        host = (urlsplit(url).hostname or "").rstrip(".").removeprefix("www.")
        return (
            host.encode("idna").decode()
            if not host.isascii()
            else "".join(c if c.isalnum() or c in ".-" else "-" for c in host).lstrip(".-")
        )
    except ValueError:
        return ""
