"""The texts: files in `templates/<language>/`, filled in and escaped.

`<template>.email.txt` begins with a line `Subject: …` and an empty line; `<template>.email.html` is the same for mail programs that show
it, and stands in `layout.html`; `<template>.sms.txt` is short. `${name}` is a parameter, and besides them there are `${product}`, the name
of this install, and `${url}`, where it is. A text exists in a channel when its files do.
"""

from __future__ import annotations

import html
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import Final

import grpc

from services.kit.errors import Refusal
from services.notifications.domain import DOMAIN, Letter

FOLDER: Final = Path(__file__).with_name("templates")
LAST_RESORT: Final = "en"
_OUR_OWN: Final = frozenset({"product", "url"})
_SUBJECT: Final = "Subject: "


@dataclass(frozen=True, slots=True)
class _Text:
    """One text in one language and channel."""

    subject: Template
    text: Template
    html: Template | None

    @property
    def on_one_line(self) -> frozenset[str]:
        """Parameters that stand in the subject."""
        return frozenset(self.subject.get_identifiers())

    @property
    def parameters(self) -> frozenset[str]:
        """What the caller must give."""
        parts = [self.subject, self.text, *([self.html] if self.html else [])]
        return frozenset(name for part in parts for name in part.get_identifiers()) - _OUR_OWN


class Texts:
    """All texts, read once.

    Args:
        product: name of this install, as people know it.
        url: where it is.
    """

    def __init__(self, product: str, url: str) -> None:
        self._own = {"product": product, "url": url}
        self._layout = Template((FOLDER / "layout.html").read_text(encoding="utf-8"))
        self._texts = {
            (folder.name, file.name.removesuffix(".txt")): _read(file)
            for folder in sorted(FOLDER.iterdir())
            if folder.is_dir()
            for file in sorted(folder.glob("*.txt"))
        }

    @property
    def names(self) -> list[tuple[str, str, str]]:
        """Language, template and channel of each text."""
        return [(language, *_split(name)) for language, name in self._texts]

    def parameters(self, template: str, channel: str) -> frozenset[str]:
        """What a text asks for."""
        return self._found(template, channel, LAST_RESORT)[1].parameters

    def letter(
        self,
        message_id: str,
        *,
        channel: str,
        to: str,
        template: str,
        language: str,
        parameters: Mapping[str, str],
    ) -> Letter:
        """Fills a text in.

        Raises:
            Refusal: INVALID_ARGUMENT `TEMPLATE_UNKNOWN` or `PARAMETER_INVALID`.
        """
        used, text = self._found(template, channel, language)
        self._check(template, text, parameters)
        plain = {**self._own, **parameters}
        escaped = {name: html.escape(value) for name, value in plain.items()}
        subject = text.subject.substitute(plain)
        page = ""
        if text.html:
            page = self._layout.substitute(
                escaped, language=used, title=html.escape(subject), body=text.html.substitute(escaped)
            )
        return Letter(message_id, to, template, subject, text.text.substitute(plain), page, parameters.get("code", ""))

    def _found(self, template: str, channel: str, language: str) -> tuple[str, _Text]:
        """The text in the nearest language that it exists in (RFC 4647 §3.4, lookup), with that language."""
        parts = language.lower().split("-")
        for length in range(len(parts), 0, -1):
            tag = "-".join(parts[:length])
            if text := self._texts.get((tag, f"{template}.{channel}")):
                return tag, text
        if text := self._texts.get((LAST_RESORT, f"{template}.{channel}")):
            return LAST_RESORT, text
        raise Refusal(
            grpc.StatusCode.INVALID_ARGUMENT,
            "TEMPLATE_UNKNOWN",
            f"there is no text {template!r} for {channel}",
            domain=DOMAIN,
            metadata={"template": template, "channel": channel},
        )

    def _check(self, template: str, text: _Text, given: Mapping[str, str]) -> None:
        asked = text.parameters
        for name in sorted(asked ^ set(given)):
            why = "is missing" if name in asked else "is not asked for"
            raise _parameter_invalid(template, name, why)
        for name, value in given.items():
            # No line ends above all where a value stands in the subject, which is a header.
            lines = [value] if name in text.on_one_line else value.split("\n")
            if not all(line.isprintable() for line in lines):
                raise _parameter_invalid(template, name, "holds a line end or another control character")


def _read(file: Path) -> _Text:
    text = file.read_text(encoding="utf-8")
    if file.name.endswith(".sms.txt"):
        return _Text(Template(""), Template(text.strip()), None)
    first, _, rest = text.partition("\n\n")
    if not first.startswith(_SUBJECT) or "\n" in first:
        raise ValueError(f"{file} must begin with a line `{_SUBJECT}…` and an empty line")
    page = file.with_suffix(".html").read_text(encoding="utf-8")
    return _Text(Template(first.removeprefix(_SUBJECT)), Template(rest), Template(page))


def _split(name: str) -> tuple[str, str]:
    template, _, channel = name.rpartition(".")
    return template, channel


def _parameter_invalid(template: str, name: str, why: str) -> Refusal:
    return Refusal(
        grpc.StatusCode.INVALID_ARGUMENT,
        "PARAMETER_INVALID",
        f"the parameter {name!r} of {template!r} {why}",
        domain=DOMAIN,
        metadata={"template": template, "parameter": name},
    )
