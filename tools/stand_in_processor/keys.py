"""The secrets of the one merchant that the stand-in knows, made from one key of the install's."""

from __future__ import annotations

import hmac
from pathlib import Path
from typing import Final

KEY_FILE: Final = "stand_in_key"


def api_key(secrets_dir: Path) -> str:
    """What opens its API."""
    return _derived(secrets_dir, b"api")


def webhook_secret(secrets_dir: Path) -> str:
    """What its webhooks are signed with."""
    return _derived(secrets_dir, b"webhooks")


def _derived(secrets_dir: Path, purpose: bytes) -> str:
    return hmac.digest((secrets_dir / KEY_FILE).read_bytes(), b"stand-in " + purpose, "sha256").hex()
