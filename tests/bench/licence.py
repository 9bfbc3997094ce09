"""Licences: Clear Key, by a player's own request through Envoy, at a steady rate."""

from __future__ import annotations

import base64
import json
import re
from functools import partial
from typing import Final

from tests.bench.harness import Measurement, percentile
from tests.bench.load import load
from tests.bench.screening import screening

PER_SECOND: Final = 100
_SECONDS: Final = 20
_CONNECTIONS: Final = 20


async def measure() -> list[Measurement]:
    """Takes about a minute."""
    async with screening() as ours:
        playback = (await ours.playback()).playback
        manifest = (ours.published / playback.package_id / "manifest.mpd").read_text(encoding="utf-8")
        body = json.dumps({"kids": key_ids(manifest), "type": "temporary"}).encode()
        fields = {"content-type": "application/json"}
        ask = partial(
            load, playback.licence_url, connections=_CONNECTIONS, per_second=PER_SECOND, body=body, fields=fields
        )
        await ask(seconds=2)  # fills pools and caches
        taken = await ask(seconds=_SECONDS)
    late = {percent: percentile(taken.milliseconds, percent) for percent in (50, 95, 99)}
    how = (
        f"{PER_SECOND} Clear Key licences a second asked for over {_CONNECTIONS} connections for {_SECONDS} s through Envoy, "
        f"{taken.per_second:.0f} answered; p50 {late[50]:.1f}, p95 {late[95]:.1f}, p99 {late[99]:.1f} ms"
    )
    return [
        Measurement("licence.p95_ms", late[95], "ms", "", how),
        Measurement("licence.p99_ms", late[99], "ms", "", how),
    ]


def key_ids(manifest: str) -> list[str]:
    """Key ids in a manifest, as a licence request names them: base64url without padding (W3C EME, Clear Key)."""
    found = sorted(set(re.findall(r'default_KID="([0-9a-fA-F-]{36})"', manifest)))
    return [base64.urlsafe_b64encode(bytes.fromhex(kid.replace("-", ""))).decode().rstrip("=") for kid in found]
