"""Writes notices from the templates in `templates/`: a line `Subject: …`, an empty line, and the text, in which `${name}` is filled in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from string import Template
from typing import Final

from services.protection.leaks.domain import Case, Evidence
from services.protection.leaks.takedowns import Kind

FOLDER: Final = Path(__file__).with_name("templates")
_FILES: Final = {Kind.DMCA: "dmca.txt", Kind.DSA: "dsa.txt", Kind.TAKE_IT_DOWN: "take_it_down.txt"}
_SUBJECT: Final = "Subject: "
UNSIGNED: Final = "[not signed yet]"


@dataclass(frozen=True, slots=True)
class Notifier:
    """In whose name notices are written. Each is one line."""

    rights_holder: str
    signatory: str
    capacity: str
    address: str
    phone: str
    email: str


@dataclass(frozen=True, slots=True)
class Wording:
    """A notice in words."""

    subject: str
    body: str

    @property
    def text(self) -> str:
        """Both, as it is kept."""
        return f"{_SUBJECT}{self.subject}\n\n{self.body}"

    @classmethod
    def of(cls, text: str) -> Wording:
        """Takes a kept one apart."""
        first, _, rest = text.partition("\n\n")
        return cls(first.removeprefix(_SUBJECT), rest)


def worded(
    kind: Kind,
    case: Case,
    evidence: Sequence[Evidence],
    notifier: Notifier,
    *,
    work: str,
    signature: str,
    now: datetime,
) -> Wording:
    """A notice, filled from the case. `signature` is the name of whoever signed, as typed; empty for a draft."""
    template = Template((FOLDER / _FILES[kind]).read_text(encoding="utf-8"))
    films = [one for one in evidence if one.sha256]
    proof = f"A copy was preserved on {_day(films[0].preserve_time)} (SHA-256 {films[0].sha256})." if films else ""
    filled = template.substitute(
        case=case.case_id,
        platform=case.platform or "the provider",
        work=work,
        url=case.url,
        found=_day(case.find_time),
        evidence=proof,
        rights_holder=notifier.rights_holder,
        signatory=notifier.signatory,
        capacity=notifier.capacity,
        address=notifier.address,
        phone=notifier.phone,
        email=notifier.email,
        date=_day(now) if signature else UNSIGNED,
        signature=f"/s/ {signature}" if signature else UNSIGNED,
    )
    return Wording.of("\n".join(line.rstrip() for line in filled.splitlines()) + "\n")


def _day(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%d %H:%M UTC")
