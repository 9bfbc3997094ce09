"""The text of a visible overlay: a template in which names in braces stand for what is known of a viewer. Pure: no I/O."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import Final

TIME: Final = "time"
"""Filled in last, by whoever shows the text."""
PLACEHOLDERS: Final = frozenset({"viewer", "viewer_hash", "address", "session", TIME})
NOBODY: Final = "unknown"
"""Stands for what is not known."""
_NAMED: Final = re.compile(r"\{([^{}]*)\}")


def unknown_placeholder(template: str) -> str | None:
    """The first name in braces that stands for nothing; None when there is none."""
    return next((name for name in _NAMED.findall(template) if name not in PLACEHOLDERS), None)


def filled(template: str, values: Mapping[str, str]) -> str:
    """The text with values in place of names. Those that have none stay, and what stands in values is not looked at again."""
    return _NAMED.sub(lambda found: values[found[1]] if found[1] in values else found[0], template)


def of_viewer(viewer: str, session_id: str, address: str) -> dict[str, str]:
    """What is known of a viewer, by name, but for the time.

    Args:
        viewer: as policy knows them: an account, or whatever the organisation calls them, such as an e-mail address.
        session_id: the playback session; its last eight characters are shown, which find it.
        address: where they are; empty when it is not known.
    """
    digest = hashlib.sha256(viewer.strip().lower().encode()).hexdigest()[:10] if viewer else NOBODY
    return {
        "viewer": viewer or NOBODY,
        "viewer_hash": digest,
        "address": address or NOBODY,
        "session": session_id[-8:],
    }
