"""A calendar of OpenTimestamps of our own, and a block that it puts its promises into. It speaks the protocol by the reference library."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from opentimestamps.core.notary import BitcoinBlockHeaderAttestation, PendingAttestation
from opentimestamps.core.op import OpAppend, OpPrepend, OpSHA256
from opentimestamps.core.serialize import BytesSerializationContext
from opentimestamps.core.timestamp import Timestamp, cat_sha256d
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tests.support.http_server import serving

HEIGHT = 870_123
_EASY = bytes.fromhex("ffff7f20")
"""Bits of a header that is found at once, as in Bitcoin's regression tests."""


@dataclass
class Calendar:
    """The calendar.

    Attributes:
        url: where it says that it is.
        taken: digests that were handed in.
        promised: commitments of its own, with what they lead to once there is a block.
        header: the block's header, once there is one.
        status: what it answers instead, when set; `answer` likewise.
        looked: how often it was asked what became of something.
    """

    url: str = ""
    taken: list[bytes] = field(default_factory=list)
    promised: dict[bytes, Timestamp] = field(default_factory=dict)
    header: bytes = b""
    status: int = 0
    answer: bytes = b""
    looked: int = 0

    async def digest(self, request: Request) -> Response:
        if self.status or self.answer:
            return Response(self.answer, self.status or 200)
        digest = await request.body()
        self.taken.append(digest)
        timestamp = Timestamp(digest)
        promise = timestamp.ops.add(OpAppend(os.urandom(8))).ops.add(OpSHA256())
        promise.attestations.add(PendingAttestation(self.url))
        self.promised[promise.msg] = Timestamp(promise.msg)
        return _serialised(timestamp)

    async def timestamp(self, request: Request) -> Response:
        self.looked += 1
        known = self.promised.get(bytes.fromhex(request.path_params["commitment"]))
        if known is None or not self.header:
            return Response(b"Pending confirmation in Bitcoin blockchain", 404)
        return _serialised(known)

    def mine(self) -> str:
        """Puts all promises into a block; returns its header in hexadecimal."""
        tips = []
        for promise in self.promised.values():
            inner = promise.ops.add(OpPrepend(b"in a transaction ")).ops.add(OpSHA256()).ops.add(OpSHA256())
            tips.append(cat_sha256d(inner, Timestamp(os.urandom(32))))
        root = tips[0]
        for other in tips[1:]:
            root = cat_sha256d(root, other)
        root.attestations.add(BitcoinBlockHeaderAttestation(HEIGHT))
        start = (4).to_bytes(4, "little") + os.urandom(32) + root.msg + (1_764_331_200).to_bytes(4, "little") + _EASY
        self.header = next(
            header for nonce in range(2**20) if _double(header := start + nonce.to_bytes(4, "little"))[-1] < 0x7F
        )
        return self.header.hex()


def _double(content: bytes) -> bytes:
    return hashlib.sha256(hashlib.sha256(content).digest()).digest()


def _serialised(timestamp: Timestamp) -> Response:
    context = BytesSerializationContext()
    timestamp.serialize(context)
    return Response(context.getbytes(), media_type="application/octet-stream")


@contextlib.asynccontextmanager
async def listening(calendar: Calendar) -> AsyncIterator[str]:
    """Serves a calendar; yields its URL."""
    routes = [
        Route("/digest", calendar.digest, methods=["POST"]),
        Route("/timestamp/{commitment}", calendar.timestamp, methods=["GET"]),
    ]
    async with serving(Starlette(routes=routes)) as url:
        calendar.url = calendar.url or url
        yield url
