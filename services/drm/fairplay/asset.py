"""Asset ids: how a player names the key that it wants. Ours are the key's id, as the `skd://` URI in the playlist has it."""

from __future__ import annotations

import re
from typing import Final

from services.drm.fairplay.status import UnknownAsset

# Players give the whole URI to the device, its host, or its host with what follows; some in UTF-16.
_ASSET: Final = re.compile(
    r"(?:skd:/?/?)?([0-9a-f]{32}|[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})(?:[/?#;:].*)?",
    re.IGNORECASE | re.DOTALL,
)


def key_id_of_asset(asset_id: bytes) -> bytes:
    """The key id in an asset id: `skd://` and 32 hex digits (or a UUID), or those alone.

    Raises:
        UnknownAsset: there is none in it.
    """
    text = asset_id.replace(b"\0", b"") if b"\0" in asset_id else asset_id  # ASCII in UTF-16, either way round
    found = _ASSET.fullmatch(text.decode("latin-1"))
    if found is None:
        raise UnknownAsset(
            "the asset id names no key: it must be the URI of a key as the playlist has it, skd:// and a key id"
        )
    return bytes.fromhex(found[1].replace("-", ""))
