"""TokensService: the contract, put in terms of access tokens, previews, CDNs and doors."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from urllib.parse import urlsplit

import grpc
from reelmesh.policy.v1 import tokens_pb2, tokens_service_pb2_grpc
from reelmesh.policy.v1 import tokens_service_pb2 as contract

from services.kit import pagination
from services.kit.clock import Clock, timestamp
from services.kit.database import Database
from services.kit.errors import RPC_DOMAIN, Refusal
from services.kit.server import current_call
from services.policy import foreign, previews, refusals, store
from services.policy import token_refusals as token
from services.policy.bearers import TICKET_COOKIE, EdgeRequest
from services.policy.cat.admission import minted
from services.policy.cat.cose import Algorithm, KeyRing, SignatureKey
from services.policy.cat.keys import public_pem
from services.policy.cat.networks import Network, network_of
from services.policy.cdn.cloudflare import Cloudflare
from services.policy.cdn.settings import Cdn, CdnSettings
from services.policy.cdn.urls import signed
from services.policy.domain import Package, Session
from services.policy.doors import Doors
from services.policy.judge import PackageUnknown
from services.policy.previews import Previews
from services.policy.tickets import Tickets
from services.policy.tokens import watermarking
from services.policy.tokens.asked import claims_of
from services.policy.verdicts import answer_to

Context = grpc.aio.ServicerContext[Any, Any]
_ALGORITHMS: Final = {
    tokens_pb2.TOKEN_ALGORITHM_UNSPECIFIED: Algorithm.ES256,
    tokens_pb2.TOKEN_ALGORITHM_ES256: Algorithm.ES256,
    tokens_pb2.TOKEN_ALGORITHM_HS256: Algorithm.HS256,
}


@dataclass(frozen=True, slots=True)
class Means:
    """What credentials are made with.

    Attributes:
        public_url: where people reach the edge.
    """

    tickets: Tickets
    keys: KeyRing
    previews: Previews
    cdns: Mapping[str, tuple[Cdn, CdnSettings]]
    public_url: str


class TokensServicer(tokens_service_pb2_grpc.TokensServiceServicer):
    """Serves `reelmesh.policy.v1.TokensService`."""

    def __init__(self, database: Database, clock: Clock, means: Means, doors: Doors) -> None:
        self._database = database
        self._clock = clock
        self._means = means
        self._doors = doors
        self._public_url = means.public_url.rstrip("/")

    async def CreateAccessToken(
        self, request: contract.CreateAccessTokenRequest, context: Context
    ) -> contract.CreateAccessTokenResponse:
        """Mints a token for a session that still plays."""
        session, package = await self._playing(request.session_id)
        now = self._clock.now()
        lifetime = request.lifetime.ToTimedelta() if request.HasField("lifetime") else timedelta.max
        # In whole seconds, which every reader of tokens understands.
        ends = int(min(session.expire_time.timestamp(), now.timestamp() + lifetime.total_seconds()))
        claims = claims_of(request, session, ends)
        key = self._means.keys.signing(_ALGORITHMS[request.algorithm])
        text = minted(claims, key, now.timestamp())
        base = f"{self._public_url}/p/{text}/{package.package_id}"
        return contract.CreateAccessTokenResponse(
            token=text,
            key_id=key.key_id,
            expire_time=timestamp(datetime.fromtimestamp(ends, UTC)),
            hls_url=f"{base}/{package.hls_path}",
            dash_url=f"{base}/{package.dash_path}",
        )

    async def ListTokenKeys(
        self, request: contract.ListTokenKeysRequest, context: Context
    ) -> contract.ListTokenKeysResponse:
        """Keys that anybody may know."""
        part = pagination.page_of(request)
        ours = [key for key in self._means.keys if isinstance(key, SignatureKey)]
        signing = self._means.keys.signing(Algorithm.ES256).key_id
        later = [key for key in sorted(ours, key=lambda key: key.key_id) if key.key_id > part.after]
        shown = later[: part.size]
        return contract.ListTokenKeysResponse(
            keys=[
                tokens_pb2.TokenKey(
                    key_id=key.key_id,
                    algorithm=tokens_pb2.TOKEN_ALGORITHM_ES256,
                    public_key=public_pem(key),
                    signs=key.key_id == signing,
                )
                for key in shown
            ],
            next_page_token=part.next_token(shown[-1].key_id) if len(later) > part.size else "",
        )

    async def CreatePlaybackCookie(
        self, request: contract.CreatePlaybackCookieRequest, context: Context
    ) -> contract.CreatePlaybackCookieResponse:
        """Mints a ticket and puts it into a cookie that is sent to its package only."""
        session, package = await self._playing(request.session_id)
        ticket, path = self._means.tickets.mint(session, self._clock.now(), package), f"/p/{package.package_id}/"
        seconds = int((session.expire_time - self._clock.now()).total_seconds())
        same_site = "None" if request.cross_site else "Lax"
        base = f"{self._public_url}{path}"
        return contract.CreatePlaybackCookieResponse(
            cookie=tokens_pb2.PlaybackCookie(
                name=TICKET_COOKIE,
                value=ticket,
                path=path,
                set_cookie=f"{TICKET_COOKIE}={ticket}; Path={path}; Max-Age={seconds}; HttpOnly; Secure; SameSite={same_site}",
                expire_time=timestamp(session.expire_time),
            ),
            hls_url=f"{base}{package.hls_path}",
            dash_url=f"{base}{package.dash_path}",
        )

    async def CreatePreviewUrl(
        self, request: contract.CreatePreviewUrlRequest, context: Context
    ) -> contract.CreatePreviewUrlResponse:
        """Signs a path of a package that the caller's organisation published."""
        network = str(_network(request.network) or "")
        async with self._database.transaction() as tx:
            package = await store.published(tx, current_call().organisation_id, request.package_id)
        with contextlib.suppress(PackageUnknown):  # of another replica's publishing, a moment ago
            self._doors.owner(package.package_id)  # the edge may have heard of a deletion before it is in the database
        file = {
            tokens_pb2.PREVIEW_KIND_POSTER: package.poster_path,
            tokens_pb2.PREVIEW_KIND_THUMBNAILS: package.thumbnails_path,
            tokens_pb2.PREVIEW_KIND_FILE: request.path,
        }[request.kind]
        if not previews.is_open(file):
            raise token.preview_not_found(request.package_id)
        lifetime = request.lifetime.ToNanoseconds() / 1e9 if request.HasField("lifetime") else previews.DEFAULT
        folder = request.kind == tokens_pb2.PREVIEW_KIND_THUMBNAILS
        path, ends = self._means.previews.path(package.package_id, file, lifetime, network, folder=folder)
        return contract.CreatePreviewUrlResponse(
            url=f"{self._public_url}{path}", expire_time=timestamp(datetime.fromtimestamp(ends, UTC))
        )

    async def CreateCdnUrls(
        self, request: contract.CreateCdnUrlsRequest, context: Context
    ) -> contract.CreateCdnUrlsResponse:
        """Signs the whole package."""
        session, package = await self._playing(request.session_id)
        if request.cdn not in self._means.cdns:
            raise token.cdn_not_found(request.cdn)
        cdn, settings = self._means.cdns[request.cdn]
        network = _network(request.network)
        if network is not None and (isinstance(cdn, Cloudflare) or network.version != 4):
            message = "leave the network out: this CDN cannot bind URLs to it"
            raise Refusal(
                grpc.StatusCode.INVALID_ARGUMENT,
                "REQUEST_INVALID",
                message,
                domain=RPC_DOMAIN,
                fields=[("network", message)],
            )
        ends = int(min(session.expire_time.timestamp(), self._clock.now().timestamp() + settings.lifetime))
        found = signed(cdn, package, expires=ends, network=str(network or ""))
        return contract.CreateCdnUrlsResponse(
            hls_url=found.url_of.get(package.hls_path, ""),
            dash_url=found.url_of.get(package.dash_path, ""),
            poster_url=found.url_of.get(package.poster_path, ""),
            thumbnails_url=found.url_of.get(package.thumbnails_path, ""),
            query=found.query,
            cookies=[
                tokens_pb2.CdnCookie(name=name, value=value, domain=found.host, path=found.path)
                for name, value in found.cookies.items()
            ],
            expire_time=timestamp(datetime.fromtimestamp(ends, UTC)),
        )

    async def CreateWatermarkToken(
        self, request: contract.CreateWatermarkTokenRequest, context: Context
    ) -> contract.CreateWatermarkTokenResponse:
        """Says which variants a session gets, to a CDN that chooses."""
        session, package = await self._playing(request.session_id)
        if not package.watermark_segments:
            raise token.package_unmarked(package.package_id)
        key = watermarking.key_of(self._means.keys, request.key_name)
        codeword = self._means.tickets.watermarks.codeword(
            package.asset_id,
            session.session_id,
            colluders=package.watermark_colluders,
            segments=package.watermark_segments,
        )
        direct = request.mode == contract.WATERMARK_TOKEN_MODE_DIRECT
        told = watermarking.direct(codeword) if direct else watermarking.indirect(package, session.session_id, codeword)
        ends = int(session.expire_time.timestamp())
        text = watermarking.made(
            told, key, vendor=request.vendor, issued=int(self._clock.now().timestamp()), expires=ends
        )
        return contract.CreateWatermarkTokenResponse(
            token=text, expire_time=timestamp(datetime.fromtimestamp(ends, UTC))
        )

    async def CheckEdge(self, request: contract.CheckEdgeRequest, context: Context) -> contract.CheckEdgeResponse:
        """Judges as our own edge does."""
        try:
            asked = _asked(request)
            passage = await foreign.admitted(
                self._doors, asked, organisation_id=current_call().organisation_id, prefix=request.prefix
            )
        except Refusal as refusal:
            if refusal.domain != refusals.DOMAIN:
                raise
            status, location = answer_to(refusal)
            return contract.CheckEdgeResponse(
                status=status,
                reason=refusal.reason,
                message=refusal.message,
                response_headers=_headers([("location", location)] if location else []),
            )
        return contract.CheckEdgeResponse(
            allowed=True,
            session_id=passage.session_id,
            path=passage.path if passage.path.startswith("/published/") else "",
            response_headers=_headers(passage.answer_headers),
        )

    async def _playing(self, session_id: str) -> tuple[Session, Package]:
        """A session of the caller's organisation that still plays, and its package."""
        async with self._database.transaction() as tx:
            session = await store.get(tx, current_call().organisation_id, session_id)
            await store.title_of(tx, session.asset_id)  # refuses what was deleted
            session.playing(self._clock.now())
            return session, await store.package(tx, session.package_id)


def _asked(request: contract.CheckEdgeRequest) -> EdgeRequest:
    try:
        parts = urlsplit(request.url)
    except ValueError as error:
        raise refusals.path_invalid("the URL cannot be read") from error
    if parts.scheme not in {"http", "https"} or not parts.netloc:
        raise refusals.path_invalid("send the absolute URL that was asked for")
    # As it came: nothing may be made prettier before it is judged.
    path = request.url.partition("://")[2].removeprefix(parts.netloc)
    headers: dict[str, str] = {}
    for header in request.headers:
        name = header.name.lower()
        headers[name] = f"{headers[name]}; {header.value}" if name in headers and name == "cookie" else header.value
    return EdgeRequest(request.method, path, parts.scheme, parts.netloc, request.client_address, headers)


def _headers(fields: Any) -> list[tokens_pb2.HttpHeader]:
    return [tokens_pb2.HttpHeader(name=name, value=value) for name, value in fields]


def _network(text: str) -> Network | None:
    if not text:
        return None
    try:
        return network_of(text)
    except ValueError as error:
        raise token.network_invalid(text) from error
