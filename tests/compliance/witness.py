"""A witness of our own: it signs what continues what it signed before, judging by the verifier's code and not by the log's."""

from __future__ import annotations

import base64
import contextlib
import hashlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from tests.support.http_server import serving
from tools.audit_verifier.note import Bad, Checkpoint, Key, signed_checkpoint
from tools.audit_verifier.tree import continues

TIME = 1_790_000_000


@dataclass
class Witness:
    """Signs under a name. `latest` is what it signed last; `asked` what it was asked, each with its answer's status."""

    name: str
    log_key: str = ""
    latest: Checkpoint | None = None
    asked: list[int] = field(default_factory=list)
    key: Ed25519PrivateKey = field(default_factory=Ed25519PrivateKey.generate)

    @property
    def verifier_key(self) -> str:
        material = b"\x04" + self.key.public_key().public_bytes_raw()
        return f"{self.name}+{self._id(material).hex()}+{base64.b64encode(material).decode()}"

    def _id(self, material: bytes) -> bytes:
        return hashlib.sha256(self.name.encode() + b"\n" + material).digest()[:4]

    def cosignature(self, text: str) -> str:
        """The line by which it signs a checkpoint's text (C2SP tlog-cosignature)."""
        signature = self.key.sign(f"cosignature/v1\ntime {TIME}\n{text}".encode())
        key_id = self._id(b"\x04" + self.key.public_key().public_bytes_raw())
        return f"— {self.name} {base64.b64encode(key_id + TIME.to_bytes(8) + signature).decode()}\n"

    async def add_checkpoint(self, request: Request) -> Response:
        """C2SP tlog-witness: `old <size>`, the proof, an empty line, the checkpoint."""
        answer = self._judged((await request.body()).decode())
        self.asked.append(answer.status_code)
        return answer

    def _judged(self, body: str) -> Response:
        head, _, note = body.partition("\n\n")
        first, *proof = head.split("\n")
        try:
            checkpoint, found = signed_checkpoint(note, Key.read(self.log_key))
        except Bad as error:
            return PlainTextResponse(str(error), 403)
        old = int(first.removeprefix("old "))
        known = self.latest.size if self.latest else 0
        if old != known:
            return Response(f"{known}\n", 409, media_type="text/x.tlog.size")
        hashes = [base64.b64decode(line) for line in proof]
        if self.latest and self.latest.size:
            if not continues(known, checkpoint.size, self.latest.root, checkpoint.root, hashes):
                return PlainTextResponse("it does not continue what I signed", 422)
        elif hashes:
            return PlainTextResponse("nothing needs to be proved to me", 422)
        self.latest = checkpoint
        return PlainTextResponse(self.cosignature(found.text))


@contextlib.asynccontextmanager
async def listening(witness: Witness) -> AsyncIterator[str]:
    """Serves a witness; yields the prefix of its URLs."""
    async with serving(Starlette(routes=[Route("/add-checkpoint", witness.add_checkpoint, methods=["POST"])])) as url:
        yield url
