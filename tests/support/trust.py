"""Trust for servers of tests that nobody signs in to."""

from __future__ import annotations

from typing import Final

from services.kit.access import Principal, credential_invalid


class _Nobody:
    """Knows nobody."""

    async def person(self, token: str) -> Principal:
        raise credential_invalid(f"a token of {len(token)} characters is not known here")

    async def api_key(self, key: str) -> Principal:
        raise credential_invalid(f"a key of {len(key)} characters is not known here")


NOBODY: Final = _Nobody()
"""Recognises no access token and no API key."""
