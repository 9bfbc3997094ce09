"""API keys for tests that call as somebody in particular."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from services.kit.access import API_KEYS_FILE, api_key_entry, new_api_key
from services.kit.ids import new_id
from services.kit.settings import ProcessSettings


def organisation_of_operator(settings: ProcessSettings) -> str:
    """The organisation that the operator's key acts for."""
    entries = json.loads((settings.secrets_dir / API_KEYS_FILE).read_text(encoding="utf-8"))
    return str(entries[0]["organisation_id"])


@contextmanager
def with_api_key(
    settings: ProcessSettings, *, organisation_id: str, permissions: Sequence[str], name: str = "test"
) -> Iterator[str]:
    """Adds a key for the length of the block and yields it."""
    file, key = settings.secrets_dir / API_KEYS_FILE, new_api_key()
    before = file.read_text(encoding="utf-8")
    entry = api_key_entry(
        key, key_id=new_id("key"), name=name, organisation_id=organisation_id, permissions=permissions
    )
    file.write_text(json.dumps([*json.loads(before), entry]), encoding="utf-8")
    try:
        yield key
    finally:
        file.write_text(before, encoding="utf-8")
