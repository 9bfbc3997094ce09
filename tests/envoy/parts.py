"""The smallest real parts behind an edge: each answers so that a test can see what Envoy made of a request."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from dataclasses import dataclass, field
from typing import Any, NoReturn

import grpc
from google.api.httpbody_pb2 import HttpBody
from grpc_status import rpc_status
from reelmesh.assets.v1 import assets_pb2, assets_service_pb2, assets_service_pb2_grpc
from reelmesh.drm.v1 import (
    drm_service_pb2,
    drm_service_pb2_grpc,
    fairplay_service_pb2,
    fairplay_service_pb2_grpc,
    licences_service_pb2,
    licences_service_pb2_grpc,
)
from reelmesh.policy.v1 import policy_service_pb2, policy_service_pb2_grpc
from reelmesh.upload.v1 import upload_pb2, upload_service_pb2, upload_service_pb2_grpc

from services.kit.errors import Refusal
from services.kit.plain_http import Answer, Request

ASSET = "ast_01jd0000000000000000000000"
MISSING_ASSET = "ast_01jd0000000000000000000404"
LOST_ASSET = "ast_01jd0000000000000000000410"
SLOW_ASSET = "ast_01jd0000000000000000000504"
UPLOAD = "upl_01jd0000000000000000000000"
FULL_UPLOAD = "upl_01jd0000000000000000000400"
PACKAGE = "pkg_01jd0000000000000000000000"
REFUSED_PACKAGE = "pkg_01jd0000000000000000000403"
TICKET = "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJwYnMifQ." + "s" * 86
KEY_ID = "00112233445566778899aabbccddeeff"

Context = grpc.aio.ServicerContext[Any, Any]
Message = MutableMapping[str, Any]


def metadata_of(context: Context) -> dict[str, str]:
    """What came with a call, text only."""
    return {str(key): str(value) for key, value in context.invocation_metadata() or () if not str(key).endswith("-bin")}


async def refuse(context: Context, refusal: Refusal) -> NoReturn:
    """Ends a call as the kit does: initial metadata first, then the status with its details."""
    await context.send_initial_metadata((("x-correlation-id", "0123456789abcdef"),))
    await refuse_at_once(context, refusal)


async def refuse_at_once(context: Context, refusal: Refusal) -> NoReturn:
    """Ends a call before anything was sent: the status travels in the headers."""
    status = rpc_status.to_status(refusal.status("0123456789abcdef"))
    await context.abort_with_status(status)  # type: ignore[attr-defined] # missing from its stubs
    raise AssertionError


def not_found(asset_id: str) -> Refusal:
    """A refusal as the assets service gives it."""
    return Refusal(
        grpc.StatusCode.NOT_FOUND,
        "ASSET_NOT_FOUND",
        "no such asset",
        domain="assets.reelmesh",
        metadata={"asset_id": asset_id},
    )


@dataclass
class Assets(assets_service_pb2_grpc.AssetsServiceServicer):
    """Remembers the metadata of its calls. A watched asset goes on when told to."""

    seen: list[dict[str, str]] = field(default_factory=list)
    go_on: asyncio.Event = field(default_factory=asyncio.Event)

    async def GetAsset(
        self, request: assets_service_pb2.GetAssetRequest, context: Context
    ) -> assets_service_pb2.GetAssetResponse:
        self.seen.append(metadata_of(context))
        if request.asset_id == MISSING_ASSET:
            await refuse(context, not_found(request.asset_id))
        if request.asset_id == SLOW_ASSET:
            await asyncio.sleep(30)
        asset = assets_pb2.Asset(asset_id=request.asset_id, title="Ночь", master=assets_pb2.Master(size_bytes=2**53))
        return assets_service_pb2.GetAssetResponse(asset=asset)

    async def ListAssets(
        self, request: assets_service_pb2.ListAssetsRequest, context: Context
    ) -> assets_service_pb2.ListAssetsResponse:
        return assets_service_pb2.ListAssetsResponse()

    async def UpdateAsset(
        self, request: assets_service_pb2.UpdateAssetRequest, context: Context
    ) -> assets_service_pb2.UpdateAssetResponse:
        return assets_service_pb2.UpdateAssetResponse(asset=request.asset)

    async def WatchAsset(
        self, request: assets_service_pb2.WatchAssetRequest, context: Context
    ) -> AsyncIterator[assets_service_pb2.WatchAssetResponse]:
        if request.asset_id == MISSING_ASSET:
            await refuse_at_once(context, not_found(request.asset_id))
        if request.asset_id == LOST_ASSET:
            await refuse(context, not_found(request.asset_id))
        for state in (assets_pb2.ASSET_STATE_PROCESSING, assets_pb2.ASSET_STATE_READY):
            yield assets_service_pb2.WatchAssetResponse(asset=assets_pb2.Asset(asset_id=request.asset_id, state=state))
            await self.go_on.wait()


@dataclass
class Uploads(upload_service_pb2_grpc.UploadServiceServicer):
    """Counts and hashes what comes in, and throws it away. Takes bytes only while `open` is set."""

    open: asyncio.Event = field(default_factory=asyncio.Event)
    sizes: list[int] = field(default_factory=list)
    first: upload_service_pb2.WriteUploadRequest = field(default_factory=upload_service_pb2.WriteUploadRequest)

    def __post_init__(self) -> None:
        self.open.set()

    async def WriteUpload(
        self, requests: AsyncIterator[upload_service_pb2.WriteUploadRequest], context: Context
    ) -> upload_service_pb2.WriteUploadResponse:
        sha256, self.sizes = hashlib.sha256(), []
        async for request in requests:
            await self.open.wait()
            if not self.sizes:
                self.first = upload_service_pb2.WriteUploadRequest()
                self.first.CopyFrom(request)
                if request.upload_id == FULL_UPLOAD:
                    await refuse(
                        context,
                        Refusal(grpc.StatusCode.OUT_OF_RANGE, "BEYOND_SIZE", "too much", domain="upload.reelmesh"),
                    )
            self.sizes.append(len(request.chunk.data))
            sha256.update(request.chunk.data)
        upload = upload_pb2.Upload(
            upload_id=self.first.upload_id, received_bytes=sum(self.sizes), sha256=sha256.hexdigest()
        )
        return upload_service_pb2.WriteUploadResponse(upload=upload)


class Licences:
    """Answers players as `drm` does: gives the same key to everyone, and for one package none to anybody. What is no Clear Key comes back
    turned around, so that whatever the edge does to bytes shows."""

    async def answer(self, request: Request) -> Answer:
        assert request.method == "POST"
        assert request.body is not None
        _, _, _, package_id, _, system = request.target.partition("?")[0].split("/")
        no_store = ("cache-control", "no-store")
        if package_id == REFUSED_PACKAGE:
            told = [("content-type", "application/problem+json"), ("x-reelmesh-reason", "LICENCE_UNRECORDED")]
            return Answer(503, [*told, ("retry-after", "5"), no_store], b'{"status":503}')
        if system != "clearkey":
            return Answer(200, [("content-type", "application/octet-stream"), no_store], request.body[::-1])
        keys = [{"kty": "oct", "kid": kid, "k": package_id} for kid in json.loads(request.body)["kids"]]
        rest = request.headers.get("x-reelmesh-rest", "")
        body = json.dumps({"keys": keys, "type": "temporary", "rest": rest}).encode()
        return Answer(200, [("content-type", "application/json"), no_store], body)


class LicencesByGrpc(licences_service_pb2_grpc.LicencesServiceServicer):
    """Gives the same key to everyone, to those who come without a ticket in their path."""

    async def AcquireClearKeyLicence(
        self, request: licences_service_pb2.AcquireClearKeyLicenceRequest, context: Context
    ) -> licences_service_pb2.AcquireClearKeyLicenceResponse:
        keys = [
            {"kty": "oct", "kid": kid, "k": request.package_id} for kid in json.loads(request.challenge.data)["kids"]
        ]
        body = HttpBody(content_type="application/json", data=json.dumps({"keys": keys}).encode())
        return licences_service_pb2.AcquireClearKeyLicenceResponse(licence=body)


class FairPlay(fairplay_service_pb2_grpc.FairPlayServiceServicer):
    """Has a certificate, but none for one package."""

    async def GetFairPlayCertificate(
        self, request: fairplay_service_pb2.GetFairPlayCertificateRequest, context: Context
    ) -> fairplay_service_pb2.GetFairPlayCertificateResponse:
        body = HttpBody(content_type="application/pkix-cert", data=bytes(range(256)))
        if request.package_id == REFUSED_PACKAGE:
            status = "application/problem+json; status=503; reason=KEYSTORE_LOCKED; retry-after=5"
            body = HttpBody(content_type=status, data=b'{"status":503}')
        return fairplay_service_pb2.GetFairPlayCertificateResponse(certificate=body)


class Drm(drm_service_pb2_grpc.DrmServiceServicer):
    """Gives the same key to everyone."""

    async def GetHlsKey(
        self, request: drm_service_pb2.GetHlsKeyRequest, context: Context
    ) -> drm_service_pb2.GetHlsKeyResponse:
        body = HttpBody(content_type="application/octet-stream", data=bytes.fromhex(request.key_id))
        return drm_service_pb2.GetHlsKeyResponse(key=body)


class Policy(policy_service_pb2_grpc.PolicyServiceServicer):
    """Decides nothing."""

    async def RedeemPlaybackCode(
        self, request: policy_service_pb2.RedeemPlaybackCodeRequest, context: Context
    ) -> policy_service_pb2.RedeemPlaybackCodeResponse:
        return policy_service_pb2.RedeemPlaybackCodeResponse()


@dataclass
class Authoriser:
    """Lets in who has the one good ticket, for the one package, as `policy` does; remembers what it was asked.

    On purpose it hands on the rest of the path as it came: what keeps a client inside the published files must be Envoy.

    Attributes:
        shown: serial numbers of the certificates of those who connected.
    """

    asked: list[Request] = field(default_factory=list)
    shown: list[int] = field(default_factory=list)
    delay: float = 0.0

    def admits(self, certificate: dict[str, Any] | None) -> bool:
        """Stands in for `services.kit.peers.Peers`: lets everybody in whom TLS lets in."""
        self.shown.append(int((certificate or {})["serialNumber"], 16))
        return True

    async def answer(self, request: Request) -> Answer:
        self.asked.append(request)
        await asyncio.sleep(self.delay)
        segments = request.target.partition("?")[0].split("/", 4)
        if len(segments) < 5 or segments[2] != TICKET:
            return _denied()
        if segments[4].startswith(("licence/", "key/")):
            return Answer(200)
        return Answer(200, [("x-reelmesh-path", f"/published/{segments[3]}/{segments[4]}")])


def _denied() -> Answer:
    refusal = Refusal(
        grpc.StatusCode.PERMISSION_DENIED, "TICKET_INVALID", "the ticket is not one of ours", domain="policy.reelmesh"
    )
    headers = [("content-type", "application/json"), ("x-reelmesh-reason", refusal.reason)]
    return Answer(403, headers, json.dumps(refusal.as_json("0123456789abcdef")).encode())


@dataclass
class Tus:
    """An HTTP/1.1 server that counts what it is sent, as an ASGI application."""

    received: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    open: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.open.set()

    async def __call__(
        self, scope: Message, receive: Callable[[], Awaitable[Message]], send: Callable[[Message], Awaitable[None]]
    ) -> None:
        self.received = 0
        self.headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        more = True
        while more:
            await self.open.wait()
            event = await receive()
            self.received += len(event.get("body", b""))
            more = event.get("more_body", False)
        headers = [(b"tus-resumable", b"1.0.0"), (b"upload-offset", str(self.received).encode())]
        await send({"type": "http.response.start", "status": 204, "headers": headers})
        await send({"type": "http.response.body"})
