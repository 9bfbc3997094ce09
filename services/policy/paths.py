"""What a playback path may look like: `/p/<ticket>/<package>/<file…>`, and nothing else.

The rule is narrow on purpose. A path that is allowed here is read again by Envoy, by its JSON transcoder and by the file system, each with
its own ideas of dots, slashes and percent signs; so nothing passes that any two of them could read differently.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum
from typing import Final

from services.kit.errors import Refusal
from services.kit.ids import SUFFIX_PATTERN
from services.policy import refusals

_LONGEST: Final = 8192
_TICKET: Final = r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+"
_PACKAGE: Final = rf"pkg_{SUFFIX_PATTERN}"
# No segment begins with a dot: that takes out `.`, `..` and hidden files at once.
_SEGMENT: Final = r"[A-Za-z0-9_-][A-Za-z0-9._-]*"
_WHOLE: Final = re.compile(rf"/p/({_TICKET})/({_PACKAGE})/({_SEGMENT}(?:/{_SEGMENT})*)")
_ONE_SEGMENT: Final = re.compile(_SEGMENT)
_ONE_TICKET: Final = re.compile(_TICKET)
_ONE_PACKAGE: Final = re.compile(_PACKAGE)
_KEY: Final = re.compile(r"key/[0-9a-f]{32}")
_LICENCE: Final = re.compile(r"licence/(?:clearkey|fairplay|playready|widevine)")
_HEARTBEAT: Final = "heartbeat"


class Kind(Enum):
    """What is asked for."""

    MEDIA = "media"
    LICENCE = "licence"
    KEY = "key"
    HEARTBEAT = "heartbeat"


_METHODS: Final = {
    Kind.MEDIA: frozenset({"GET", "HEAD", "OPTIONS"}),
    # What a device needs before it can ask for a licence, such as a certificate, it gets at the same address.
    Kind.LICENCE: frozenset({"GET", "POST", "OPTIONS"}),
    Kind.KEY: frozenset({"GET", "OPTIONS"}),
    Kind.HEARTBEAT: frozenset({"POST", "OPTIONS"}),
}
"""Methods that make sense for each."""


@dataclass(frozen=True, slots=True)
class PlaybackPath:
    """A well-formed playback path.

    Attributes:
        ticket: unchecked as yet.
        file: path below the package.
    """

    ticket: str
    package_id: str
    file: str
    kind: Kind

    def allows(self, method: str) -> None:
        """Checks the HTTP method.

        Raises:
            Refusal: PATH_INVALID.
        """
        if method not in _METHODS[self.kind]:
            methods = ", ".join(sorted(_METHODS[self.kind]))
            raise refusals.path_invalid(f"this address answers to {methods} only")


def read(path: str) -> PlaybackPath:
    """Takes the path of an HTTP request apart, query included as Envoy hands it over.

    Raises:
        Refusal: PATH_INVALID, TICKET_MISSING or TICKET_INVALID.
    """
    bare, _, query = path.partition("?")
    found = _WHOLE.fullmatch(bare) if len(path) <= _LONGEST else None
    if found is None:
        raise _why_not(bare)
    ticket, package_id, file = found.groups()
    if file != _HEARTBEAT and not file.startswith(("key/", "licence/")):
        return PlaybackPath(ticket, package_id, file, Kind.MEDIA)
    if query:  # the transcoder would read fields of the request from it
        raise refusals.path_invalid("licences, keys and heartbeats are asked for without a query")
    if file == _HEARTBEAT:
        return PlaybackPath(ticket, package_id, file, Kind.HEARTBEAT)
    if _LICENCE.fullmatch(file):
        return PlaybackPath(ticket, package_id, file, Kind.LICENCE)
    if _KEY.fullmatch(file):
        return PlaybackPath(ticket, package_id, file, Kind.KEY)
    raise refusals.path_invalid(
        "there is nothing at this address; licences are at licence/<key system>, keys at key/<32 hex digits>, heartbeats at heartbeat"
    )


def _why_not(path: str) -> Refusal:
    if len(path) > _LONGEST:
        return refusals.path_invalid(f"the address is longer than {_LONGEST} characters")
    segments = path.split("/")
    if segments[:2] != ["", "p"] or len(segments) < 3 or segments[2] == "" or _ONE_PACKAGE.fullmatch(segments[2]):
        return refusals.ticket_missing()
    if not all(_ONE_SEGMENT.fullmatch(segment) for segment in segments[2:]):
        return refusals.path_invalid(
            "the address has an empty segment, one that begins with a dot, or characters other than letters, digits and . _ -"
        )
    if not _ONE_TICKET.fullmatch(segments[2]):
        return refusals.ticket_invalid()
    return refusals.path_invalid("playback addresses have the form /p/<ticket>/<package>/<file>")
