"""The secrets of the one merchant that the stand-in knows, made from one key of the install's."""

from __future__ import annotations

import hmac
import json
import sys
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


def main() -> None:
    """Prints the body of SetProcessorAccount by which an organisation takes the stand-in for its processor. It holds the secrets."""
    secrets_dir = Path(sys.argv[1] if len(sys.argv) > 1 else ".reelmesh/secrets")
    secrets = {"api_key": api_key(secrets_dir), "webhook_secret": webhook_secret(secrets_dir)}
    print(json.dumps({"account": {"processor": "stand_in", "test_mode": True}, "secrets": secrets}))


if __name__ == "__main__":
    main()
