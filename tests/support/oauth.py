"""The OAuth gateway in front of the real identity service, and programs that are let in by it."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import secrets
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

import httpx
from reelmesh.identity.v1 import (
    oauth_clients_service_pb2,
    oauth_clients_service_pb2_grpc,
    oauth_pb2,
    oauth_service_pb2,
    oauth_service_pb2_grpc,
)

from gateway.oauth.__main__ import OAuthGatewaySettings
from gateway.oauth.__main__ import wire as wire_gateway
from services.kit.ids import new_id
from services.kit.settings import ProcessSettings
from services.kit.tls import client_context, host_name, read_identity
from tests.identity.scene import Person, Scene, a_scene
from tests.support.running import connected, running

if TYPE_CHECKING:
    OAuth = oauth_service_pb2_grpc.OAuthServiceAsyncStub
    Clients = oauth_clients_service_pb2_grpc.OAuthClientsServiceAsyncStub

CALLBACK = "https://app.example/callback"
CODE = oauth_pb2.O_AUTH_GRANT_AUTHORIZATION_CODE
REFRESH = oauth_pb2.O_AUTH_GRANT_REFRESH_TOKEN
CLIENT = oauth_pb2.O_AUTH_GRANT_CLIENT_CREDENTIALS
DEVICE = oauth_pb2.O_AUTH_GRANT_DEVICE_CODE
DEVICE_GRANT = "urn:ietf:params:oauth:grant-type:device_code"


@dataclass(frozen=True)
class Program:
    """A registered client with its secret, which is empty for a public one."""

    client_id: str
    secret: str = ""

    @property
    def basic(self) -> dict[str, str]:
        """Headers by which a confidential client shows who it is."""
        if not self.secret:
            return {}
        shown = base64.b64encode(f"{self.client_id}:{self.secret}".encode()).decode()
        return {"authorization": f"Basic {shown}"}


def pkce() -> tuple[str, str]:
    """A verifier and its challenge."""
    verifier = secrets.token_urlsafe(48)
    return verifier, base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).decode().rstrip("=")


def answer_of(location: str) -> dict[str, str]:
    """What a redirect brings in its query."""
    return dict(parse_qsl(urlsplit(location).query))


def request_of(asked: httpx.Response) -> str:
    """Id of the request that the page is told."""
    assert asked.status_code == 302, asked.text
    return dict(parse_qsl(urlsplit(asked.headers["location"]).fragment))["request"]


@dataclass(frozen=True)
class OAuthScene:
    """Identity, the gateway, and a client of its HTTP side."""

    identity: Scene
    oauth: OAuth
    inside: OAuth
    clients: Clients
    http: httpx.AsyncClient
    socket: Path

    @property
    def issuer(self) -> str:
        return self.identity.settings.public_url

    async def register(
        self,
        *,
        confidential: bool = False,
        grants: Sequence[int] = (CODE, REFRESH),
        scopes: Sequence[str] = ("openid", "profile", "email", "offline_access", "playback.create"),
        redirect_uris: Sequence[str] = (CALLBACK,),
        post_logout_redirect_uris: Sequence[str] = (),
    ) -> Program:
        """Registers a client as the operator."""
        answer = await self.clients.CreateOAuthClient(
            oauth_clients_service_pb2.CreateOAuthClientRequest(
                request_id=new_id("req"),
                display_name="An app",
                redirect_uris=redirect_uris,
                post_logout_redirect_uris=post_logout_redirect_uris,
                confidential=confidential,
                grants=[oauth_pb2.OAuthGrant.ValueType(grant) for grant in grants],
                scopes=scopes,
            ),
            metadata=self.identity.operator,
        )
        return Program(answer.client.client_id, answer.secret)

    async def asks(self, program: Program, **changed: str | None) -> httpx.Response:
        """A browser comes with an authorization request; `changed` are parameters, None leaves one out."""
        parameters = {
            "response_type": "code",
            "client_id": program.client_id,
            "redirect_uri": CALLBACK,
            "scope": "openid offline_access playback.create",
            "state": "xyz",
            "nonce": "n-0S6_WzA2Mj",
            "code_challenge": pkce()[1],
            "code_challenge_method": "S256",
        } | changed
        return await self.http.get(
            "/oauth/authorize", params={name: value for name, value in parameters.items() if value is not None}
        )

    async def answers(self, person: Person, asked: httpx.Response, *, approve: bool = True) -> str:
        """The person answers on the page. Returns where the browser goes."""
        answer = await self.oauth.AnswerAuthorization(
            oauth_service_pb2.AnswerAuthorizationRequest(authorization_id=request_of(asked), approve=approve),
            metadata=person.shown,
        )
        return answer.redirect_uri

    async def code(self, program: Program, person: Person, challenge: str, **changed: str | None) -> str:
        """A code for a program that the person let in."""
        asked = await self.asks(program, code_challenge=challenge, **changed)
        return answer_of(await self.answers(person, asked))["code"]

    async def token(self, program: Program, **form: str) -> httpx.Response:
        """The program asks for tokens."""
        fields = form if program.secret else {"client_id": program.client_id, **form}
        return await self.http.post("/oauth/token", data=fields, headers=program.basic)

    async def exchanged(self, program: Program, code: str, verifier: str, **changed: str) -> httpx.Response:
        """The program exchanges a code."""
        form = {"code": code, "redirect_uri": CALLBACK, "code_verifier": verifier} | changed
        return await self.token(program, grant_type="authorization_code", **form)

    async def let_in(self, program: Program, person: Person, **changed: str | None) -> dict[str, Any]:
        """All of it: what the program has in the end."""
        verifier, challenge = pkce()
        code = await self.code(program, person, challenge, **changed)
        answer = await self.exchanged(program, code, verifier)
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    async def refreshed(self, program: Program, token: str, **more: str) -> httpx.Response:
        """The program refreshes."""
        return await self.token(program, grant_type="refresh_token", refresh_token=token, **more)


@contextlib.asynccontextmanager
async def an_oauth_scene(mesh: ProcessSettings, **changed: Any) -> AsyncIterator[OAuthScene]:
    """Both running; `changed` are settings that are not the default."""
    async with a_scene(mesh, **changed) as identity:
        settings = OAuthGatewaySettings(**{**mesh.model_dump(), "drain_timeout": 2, **changed})
        socket = mesh.run_dir.resolve() / "oauth.sock"
        seen = read_identity(mesh.tls_folder("envoy"))
        gateway = f"https://{host_name(seen.trust_domain, 'oauth')}"
        async with (
            running("oauth", settings, wire_gateway, clock=identity.clock),
            connected(mesh, "identity", key="", caller="oauth") as inside,
            httpx.AsyncClient(
                transport=httpx.AsyncHTTPTransport(uds=str(socket), verify=client_context(seen)),
                base_url=gateway,
                timeout=30,
            ) as http,
        ):
            yield OAuthScene(
                identity,
                oauth_service_pb2_grpc.OAuthServiceStub(identity.channel),
                oauth_service_pb2_grpc.OAuthServiceStub(inside),
                oauth_clients_service_pb2_grpc.OAuthClientsServiceStub(identity.channel),
                http,
                socket,
            )
