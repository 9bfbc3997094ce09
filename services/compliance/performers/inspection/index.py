"""The index of all records of an organisation, as an inspector is shown it (28 CFR 75.2(a), 75.3): by legal name, by every other name, and by title."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final

from services.compliance.performers.copies import Copy
from services.compliance.performers.domain import IdentityDocument, Performer, Production, Release

# What a table would take for a formula.
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")
_HEAD: Final = (
    "index",
    "entry",
    "legal_name",
    "date_of_birth",
    "other_names",
    "title",
    "production_date",
    "asset_ids",
    "urls",
    "identity_documents",
    "releases",
    "performer_id",
    "production_id",
)


class By(Enum):
    """What lines are in order of."""

    LEGAL_NAME = "legal_name"
    OTHER_NAME = "other_name"
    TITLE = "title"


@dataclass(frozen=True, slots=True)
class Records:
    """All records of an organisation."""

    performers: Sequence[Performer]
    productions: Sequence[Production]
    documents: Sequence[IdentityDocument]
    releases: Sequence[Release]
    copies: Mapping[str, Copy]

    def productions_of(self, performer: Performer) -> Sequence[Production]:
        """Those in which somebody is seen."""
        return [one for one in self.productions if performer.performer_id in one.performer_ids]


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the index: somebody, in one production. `production` is None for who is seen in none yet."""

    entry: str
    performer: Performer
    production: Production | None
    documents: tuple[IdentityDocument, ...]
    releases: tuple[Release, ...]


def lines(records: Records, by: By) -> Sequence[Line]:
    """The lines of one index, in order."""
    found: list[Line] = []
    for performer in records.performers:
        documents = tuple(one for one in records.documents if one.performer_id == performer.performer_id)
        seen: Sequence[Production | None] = records.productions_of(performer) or [None]
        for production in seen:
            releases = () if production is None else _releases(records, performer, production)
            found += [
                Line(entry, performer, production, documents, releases) for entry in _entries(by, performer, production)
            ]
    return sorted(found, key=lambda line: (line.entry.casefold(), line.entry, line.performer.performer_id))


def _releases(records: Records, performer: Performer, production: Production) -> tuple[Release, ...]:
    wanted = (performer.performer_id, production.production_id)
    return tuple(one for one in records.releases if (one.performer_id, one.production_id) == wanted)


def _entries(by: By, performer: Performer, production: Production | None) -> Iterable[str]:
    match by:
        case By.LEGAL_NAME:
            return [performer.person.legal_name]
        case By.OTHER_NAME:
            return performer.person.other_names
        case By.TITLE:
            return [production.title] if production else []


def as_csv(records: Records) -> bytes:
    """All three indexes in one table (RFC 4180)."""
    out = io.StringIO()
    table = csv.writer(out)
    table.writerow(_HEAD)
    for by in By:
        for line in lines(records, by):
            table.writerow([_harmless(cell) for cell in _cells(records, by, line)])
    return out.getvalue().encode()


def _cells(records: Records, by: By, line: Line) -> Sequence[str]:
    person, production = line.performer.person, line.production
    return (
        by.value,
        line.entry,
        person.legal_name,
        person.date_of_birth.isoformat(),
        "; ".join(person.other_names),
        production.title if production else "",
        production.production_date.isoformat() if production else "",
        " ".join(production.asset_ids) if production else "",
        " ".join(production.urls) if production else "",
        "; ".join(said_of_document(records, one) for one in line.documents),
        "; ".join(said_of_release(records, one) for one in line.releases),
        line.performer.performer_id,
        production.production_id if production else "",
    )


def said_of_document(records: Records, document: IdentityDocument) -> str:
    """An identity document in words."""
    copy = records.copies.get(document.identity_document_id)
    until = f", good until {document.expire_date}" if document.expire_date else ""
    reviewed = document.reviewed
    examined = f", {reviewed.state.name.lower()} {reviewed.review_time:%Y-%m-%d}" if reviewed.review_time else ""
    return f"{_KINDS[document.kind]} {document.issuer}{until}{examined}, SHA-256 {copy.sha256 if copy else 'destroyed'}"


def said_of_release(records: Records, release: Release) -> str:
    """A release in words."""
    copy = records.copies.get(release.release_id)
    until = f", good until {release.expire_date}" if release.expire_date else ""
    ended = f" {release.withdraw_time:%Y-%m-%d}" if release.withdraw_time else ""
    state = release.reviewed.state.name.lower()
    return f"signed {release.sign_date}{until}, {state}{ended}, SHA-256 {copy.sha256 if copy else 'destroyed'}"


_KINDS: Final = {1: "passport", 2: "identity card", 3: "driving licence", 4: "residence permit"}


def _harmless(text: str) -> str:
    """A text that no table takes for a formula."""
    return f"'{text}" if text.startswith(_FORMULA) else text
