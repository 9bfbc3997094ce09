"""Providers that we own: servers that speak their protocol, check every request against it, and fail when told to."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email import message_from_bytes, policy
from email.headerregistry import Address
from email.message import EmailMessage
from pathlib import Path
from typing import Any, Literal
from urllib.parse import parse_qs

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from services.kit.clock import SystemClock
from services.notifications.channels.kavenegar import Kavenegar
from services.notifications.channels.sendgrid import SendGrid
from services.notifications.channels.smtp import MailServer, Security, Smtp
from services.notifications.channels.twilio import Twilio
from services.notifications.domain import Channel
from tests.support.http_server import serving
from tests.support.ports import free_port

Mood = Literal["takes", "busy", "refuses address", "refuses us", "says nothing"]
SECRET = "credential-of-the-provider"
SENDER = Address(display_name="Reelmesh", addr_spec="no-reply@reelmesh.example")
CARRIERS = ("smtp", "sendgrid", "twilio", "kavenegar", "kavenegar-lookup")
RETRY_AFTER = 7


@dataclass
class Provider:
    """One provider.

    Attributes:
        channel: ours, which leads to it.
        url: where it is, for those that are reached by HTTP.
        mood: what it does with the next requests.
        taken: what it took, as (to, what was said).
        wrong: what in any request is not as its documentation says.
        asked: how many requests came.
    """

    channel: Channel | None = None
    url: str = ""
    mood: Mood = "takes"
    taken: list[tuple[str, str]] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    asked: int = 0

    @property
    def ours(self) -> Channel:
        assert self.channel is not None
        return self.channel

    def expect(self, what: str, found: object, expected: object) -> None:
        """Notes what is not as it should be."""
        if found != expected:
            self.wrong.append(f"{what}: {found!r}, not {expected!r}")


async def _silence() -> Response:
    """An answer that says nothing of what became of the request."""
    return Response(status_code=502)


def sendgrid(provider: Provider) -> Starlette:
    """`POST /v3/mail/send` as https://www.twilio.com/docs/sendgrid/api-reference/mail-send/mail-send has it."""

    async def send(request: Request) -> Response:
        provider.asked += 1
        provider.expect("authorization", request.headers["authorization"], f"Bearer {SECRET}")
        provider.expect("content type", request.headers["content-type"], "application/json")
        mail: dict[str, Any] = await request.json()
        provider.expect("from", mail["from"], {"email": SENDER.addr_spec, "name": SENDER.display_name})
        provider.expect("kinds", [part["type"] for part in mail["content"]], ["text/plain", "text/html"])
        (personal,) = mail["personalizations"]
        match provider.mood:
            case "busy":
                return Response(status_code=429, headers={"retry-after": str(RETRY_AFTER)})
            case "says nothing":
                return await _silence()
            case "refuses us":
                return JSONResponse({"errors": [{"message": "bad key", "field": None}]}, 401)
            case "refuses address":
                problem = {"message": "Does not contain a valid address.", "field": "personalizations.0.to.0.email"}
                return JSONResponse({"errors": [problem]}, 400)
            case _:
                provider.taken.append((personal["to"][0]["email"], mail["content"][0]["value"]))
                return Response(status_code=202)

    return Starlette(routes=[Route("/v3/mail/send", send, methods=["POST"])])


async def _form(request: Request, provider: Provider) -> dict[str, str]:
    provider.expect("content type", request.headers["content-type"], "application/x-www-form-urlencoded")
    provider.expect("query", request.url.query, "")
    parsed = parse_qs((await request.body()).decode(), strict_parsing=True)
    return {name: values[0] for name, values in parsed.items()}


def twilio(provider: Provider) -> Starlette:
    """`POST /2010-04-01/Accounts/{sid}/Messages.json` as https://www.twilio.com/docs/messaging/api/message-resource has it."""

    async def send(request: Request) -> Response:
        provider.asked += 1
        expected = base64.b64encode(f"AC1:{SECRET}".encode()).decode()
        provider.expect("authorization", request.headers["authorization"], f"Basic {expected}")
        form = await _form(request, provider)
        provider.expect("fields", set(form), {"To", "From", "Body"})
        match provider.mood:
            case "busy":
                return JSONResponse({"code": 20429, "status": 429}, 429, headers={"retry-after": str(RETRY_AFTER)})
            case "says nothing":
                return await _silence()
            case "refuses us":
                return JSONResponse({"code": 20003, "message": "Authenticate", "status": 401}, 401)
            case "refuses address":
                return JSONResponse({"code": 21614, "message": "not a mobile", "status": 400}, 400)
            case _:
                provider.taken.append((form["To"], form["Body"]))
                return JSONResponse({"sid": "SM1", "status": "queued"}, 201)

    return Starlette(routes=[Route("/2010-04-01/Accounts/AC1/Messages.json", send, methods=["POST"])])


def kavenegar(provider: Provider) -> Starlette:
    """`sms/send` and `verify/lookup` as https://kavenegar.com/rest.html has them."""

    async def answered(request: Request, fields: set[str], said: str) -> Response:
        provider.asked += 1
        form = await _form(request, provider)
        provider.expect("fields", set(form), fields)
        provider.expect("receptor", form["receptor"][:2], "00")
        statuses = {"busy": 409, "refuses us": 403, "refuses address": 411}
        if provider.mood == "says nothing":
            return await _silence()
        if status := statuses.get(provider.mood):
            return JSONResponse({"return": {"status": status, "message": "no"}, "entries": None}, status)
        provider.taken.append(("+" + form["receptor"][2:], form[said]))
        return JSONResponse({"return": {"status": 200, "message": "تایید شد"}, "entries": [{"messageid": 1}]})

    async def send(request: Request) -> Response:
        return await answered(request, {"receptor", "message", "sender"}, "message")

    async def lookup(request: Request) -> Response:
        return await answered(request, {"receptor", "token", "template"}, "token")

    return Starlette(
        routes=[
            Route(f"/v1/{SECRET}/sms/send.json", send, methods=["POST"]),
            Route(f"/v1/{SECRET}/verify/lookup.json", lookup, methods=["POST"]),
        ]
    )


@dataclass(frozen=True)
class Certificate:
    """A certificate of a mail server on this machine, which is its own authority."""

    chain: Path
    key: Path

    @classmethod
    def made(cls, folder: Path) -> Certificate:
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
        now = datetime.now(UTC)
        certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=1))
            .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .sign(key, SHA256())
        )
        made = cls(folder / "chain.pem", folder / "key.pem")
        made.chain.write_bytes(certificate.public_bytes(Encoding.PEM))
        made.key.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        return made

    def context(self) -> ssl.SSLContext:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(self.chain, self.key)
        return context


class Mailbox:
    """A mail server's hooks."""

    def __init__(self, provider: Provider) -> None:
        self._provider = provider

    async def handle_MAIL(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        self._provider.asked += 1
        assert server.transport is not None
        self._provider.expect("encrypted", server.transport.get_extra_info("cipher") is not None, True)
        self._provider.expect("authenticated", session.authenticated, True)
        if self._provider.mood == "refuses us":
            return "550 5.7.1 not from you"
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return "250 OK"

    async def handle_RCPT(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if self._provider.mood == "busy":
            return "451 4.7.1 try again later"
        if self._provider.mood == "refuses address":
            return "550 5.1.1 no such mailbox"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        if self._provider.mood == "says nothing":
            assert isinstance(server.transport, asyncio.WriteTransport)
            server.transport.abort()
            return "250 OK"
        assert isinstance(envelope.content, bytes)
        mail = message_from_bytes(envelope.content, policy=policy.default)
        assert isinstance(mail, EmailMessage)
        self._provider.expect("from", mail["From"].addresses, (SENDER,))
        self._provider.expect("auto-submitted", mail["Auto-Submitted"], "auto-generated")
        kinds = [part.get_content_type() for part in mail.iter_parts()]
        self._provider.expect("kinds", kinds, ["text/plain", "text/html"])
        plain = mail.get_body(("plain",))
        assert plain is not None
        (to,) = envelope.rcpt_tos
        if to.isascii():
            self._provider.expect("to", mail["To"].addresses[0].addr_spec, to)
        self._provider.taken.append((to, plain.get_content()))
        return "250 OK"


def _authenticated(
    server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: LoginPassword
) -> AuthResult:
    right = (data.login, data.password) == (b"user", SECRET.encode())
    return AuthResult(success=right, handled=False)


@contextlib.contextmanager
def mail_server(
    provider: Provider, folder: Path, security: Security = "starttls", password: str = SECRET, *, offers: bool = True
) -> Any:
    """A real mail server, with our channel to it. `offers=False`: it knows no STARTTLS."""
    certificate = Certificate.made(folder)
    port = free_port()
    controller = Controller(
        Mailbox(provider),
        hostname="localhost",
        port=port,
        ssl_context=certificate.context() if security == "tls" else None,
        tls_context=certificate.context() if security == "starttls" and offers else None,
        require_starttls=security == "starttls" and offers,
        auth_required=security == "starttls" and offers,
        auth_require_tls=security == "starttls",
        authenticator=_authenticated,
        enable_SMTPUTF8=True,
        ready_timeout=30,
    )
    controller.start()
    server = MailServer("localhost", port, security, "user", password, certificate.chain)
    provider.channel = Smtp(server, SENDER, SystemClock())
    try:
        yield provider
    finally:
        controller.stop()


@contextlib.asynccontextmanager
async def a_provider(kind: str, folder: Path) -> AsyncIterator[Provider]:
    """One provider of `CARRIERS`, with our channel to it."""
    provider = Provider()
    if kind == "smtp":
        with mail_server(provider, folder):
            yield provider
        return
    app = {"sendgrid": sendgrid, "twilio": twilio}.get(kind, kavenegar)(provider)
    async with serving(app) as provider.url:
        provider.channel = channel_to(kind, provider.url)
        try:
            yield provider
        finally:
            await provider.ours.close()


def channel_to(kind: str, url: str) -> Channel:
    """Our channel to a provider at a place."""
    match kind:
        case "smtp":
            return Smtp(MailServer("localhost", int(url.rpartition(":")[2]), "starttls"), SENDER, SystemClock())
        case "sendgrid":
            return SendGrid(url, SECRET, SENDER)
        case "twilio":
            return Twilio(url, "AC1", SECRET, "+15005550006")
        case _:
            lookups = {"sign-in-code": "reelmesh-code"} if kind == "kavenegar-lookup" else {}
            return Kavenegar(url, SECRET, "10004346", lookups)


def parsed(text: str) -> dict[str, Any]:
    """A JSON object."""
    content = json.loads(text)
    assert isinstance(content, dict)
    return content
