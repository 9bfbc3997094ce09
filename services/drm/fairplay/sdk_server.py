"""Apple's own Key Security Module (FairPlay Streaming Server SDK 26), which the operator runs beside us: it reads SPCs of every version.

It speaks JSON by HTTP. A request tells it the SPC, the key and what the device is to hold to; so it runs on this machine, or behind HTTPS.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from services.drm.domain import ContentKey
from services.drm.fairplay.conditions import Conditions, kept_for, played_for
from services.drm.fairplay.spc import MOST_BYTES
from services.drm.fairplay.status import BY_STATUS, KsmError, Malformed, RefusedByServer
from services.drm.fairplay.tags import HdcpType
from services.drm.upstream.client import Reply, Troubled, Upstream

_VERSION: Final = 1
_HEADERS: Final = {"content-type": "application/json", "accept": "application/json"}
_HDCP: Final = {HdcpType.NOT_REQUIRED: -1, HdcpType.TYPE_0: 0, HdcpType.TYPE_1: 1}


class SdkServer:
    """Forwards SPCs to Apple's server.

    Args:
        upstream: where it is, and how patient to be with it.
    """

    def __init__(self, upstream: Upstream) -> None:
        self._upstream = upstream

    def read(self, spc: bytes) -> ForwardedRequest:
        """Takes an SPC as it is.

        Raises:
            Malformed: it is too long to be one.
        """
        if len(spc) > MOST_BYTES:
            raise Malformed(f"no SPC is longer than {MOST_BYTES} bytes")
        return ForwardedRequest(spc, self._upstream)


@dataclass(frozen=True, slots=True)
class ForwardedRequest:
    """An SPC that only Apple's server can read."""

    spc: bytes = field(repr=False)
    upstream: Upstream

    @property
    def asset_id(self) -> bytes:
        return b""

    @property
    def fingerprint(self) -> bytes:
        return hashlib.sha256(self.spc).digest()

    @property
    def creation_time(self) -> datetime | None:
        return None

    async def ckc(self, key: ContentKey, conditions: Conditions) -> bytes:
        body = json.dumps(request_of(self.spc, key, conditions)).encode()
        answer = await self.upstream.ask(body, _HEADERS, ckc_of, repeatable=True)
        if isinstance(answer, KsmError):
            raise answer
        return answer


def request_of(spc: bytes, key: ContentKey, conditions: Conditions) -> dict[str, Any]:
    """A request for one CKC, as the SDK's documentation has it."""
    asset: dict[str, Any] = {
        "content-key": key.key.hex(),
        "content-iv": key.iv.hex(),
        "encryption-scheme": "cbcs",
        "hdcp-type": _HDCP[conditions.hdcp],
    }
    if conditions.offline:
        asset["offline-hls"] = _kept(key, conditions)
    elif (duration := played_for(conditions)) is not None and duration.lease:
        asset["lease-duration"] = duration.lease
    create = {"id": 1, "spc": base64.b64encode(spc).decode(), "check-in": False, "asset-info": [asset]}
    return {"fairplay-streaming-request": {"version": _VERSION, "create-ckc": [create]}}


def _kept(key: ContentKey, conditions: Conditions) -> dict[str, Any]:
    """What is said of a key that is kept: the server tells storage and playback apart where the device can."""
    kept: dict[str, Any] = {"stream-id": key.key_id.hex()}
    if (limit := kept_for(conditions).rental) == 0:
        return kept
    rental = conditions.rental or conditions.licence
    kept["rental-duration"] = limit if rental is None else max(int(rental / timedelta(seconds=1)), 1)
    if conditions.playback is not None:
        kept["playback-duration"] = max(int(conditions.playback / timedelta(seconds=1)), 1)
    return kept


def ckc_of(reply: Reply) -> bytes | KsmError:
    """The CKC in a reply, or what the server finds wrong with the SPC.

    Raises:
        Troubled: the server is in trouble, or says something else.
    """
    if reply.status != 200:
        raise Troubled("failing" if reply.status >= 500 else "unusable")
    try:
        (created,) = json.loads(reply.body)["fairplay-streaming-response"]["create-ckc"]
        status = int(created["status"])
        if status:
            kind = BY_STATUS.get(status)
            said = "Apple's server refuses the SPC"
            return kind(said) if kind else RefusedByServer(said, status)
        ckc = base64.b64decode(created["ckc"], validate=True)
    except (ValueError, KeyError, TypeError, binascii.Error):
        raise Troubled("unusable") from None
    if not ckc:
        raise Troubled("unusable")
    return ckc
