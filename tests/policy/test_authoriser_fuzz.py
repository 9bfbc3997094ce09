"""What the authoriser makes of requests that nobody has thought of: it lets in exactly the good one, and never falls over."""

from __future__ import annotations

import asyncio
import base64
import hmac
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final, TypeVar

import grpc
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey, generate_private_key
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from envoy.service.auth.v3 import attribute_context_pb2, external_auth_pb2
from google.protobuf.message import DecodeError
from hypothesis import given
from hypothesis import strategies as st
from reelmesh.policy.v1 import policy_service_pb2 as api

from services.kit.errors import Refusal
from services.kit.settings import ProcessSettings
from services.policy.edge import CHECK
from services.policy.refusals import DOMAIN
from services.policy.tickets import TICKET_KEY_FILE
from tests.policy.scene import HD, Scene, Verdict, a_scene
from tests.support.examples import fuzzed
from tests.support.running import connected
from tests.support.stores import Emptying

Seen = TypeVar("Seen")
Ask = Callable[[bytes], Awaitable[bytes]]

REASONS: Final = {
    *("TICKET_MISSING", "TICKET_INVALID", "TICKET_EXPIRED", "TICKET_OTHER_PACKAGE", "SESSION_REVOKED", "PATH_INVALID"),
    *("ACCESS_TOKEN_INVALID",),  # what has no dot where a ticket is expected may be one of those
}
"""All that can be wrong with a request here, where nobody else is revoked and nothing is withdrawn."""
REFORGED: Final = {"TICKET_INVALID", "PATH_INVALID", "ACCESS_TOKEN_INVALID"}
_BASE64URL: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
_MEDIA: Final = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]*(/[A-Za-z0-9_-][A-Za-z0-9._-]*)*")
# Found wanting means found with what it takes to find it again; time is no property of these.
FUZZED = fuzzed(120)


@dataclass(frozen=True)
class Stage:
    """The running service, one good session and one that was revoked, and somebody who may ask about requests as Envoy does."""

    scene: Scene
    ask: Ask
    good: api.CreatePlaybackResponse
    other: api.CreatePlaybackResponse
    revoked: api.CreatePlaybackResponse
    expired: api.CreatePlaybackResponse
    loop: asyncio.AbstractEventLoop

    @property
    def ticket(self) -> str:
        return ticket_of(self.good)

    @property
    def package(self) -> str:
        return self.good.session.package_id

    def now(self, work: Coroutine[Any, Any, Seen]) -> Seen:
        """Does something in the loop of the service, from the thread of a property."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(30)

    def verdict(self, request: external_auth_pb2.CheckRequest) -> Verdict:
        """What the service says; that it answers at all is part of every property."""
        answer = self.now(_awaited(self.ask(request.SerializeToString())))
        return Verdict(external_auth_pb2.CheckResponse.FromString(answer))


async def _awaited(work: Awaitable[Seen]) -> Seen:
    return await work


def ticket_of(answer: api.CreatePlaybackResponse) -> str:
    return str(answer.playback.dash_url.split("/p/", 1)[1].split("/", 1)[0])


@pytest.fixture(scope="module")
async def stage(session_stores: ProcessSettings, emptied: Emptying) -> AsyncIterator[Stage]:
    async with a_scene(session_stores) as scene, connected(scene.settings, "policy", key="") as channel:
        expired = await scene.play(lifetime=timedelta(seconds=60))
        scene.clock.advance(timedelta(seconds=61))
        good, other, revoked = await scene.play(), await scene.play(), await scene.play()
        await scene.revoke(revoked.session.session_id)
        ask = channel.unary_unary(CHECK, None, None)
        yield Stage(scene, ask, good, other, revoked, expired, asyncio.get_running_loop())
    await emptied()


async def holds(check: Callable[[], None]) -> None:
    """Runs a property in a thread of its own, so that the service can go on in this one."""
    await asyncio.to_thread(check)


def asked(method: str, path: str, headers: dict[str, str] | None = None) -> external_auth_pb2.CheckRequest:
    http = attribute_context_pb2.AttributeContext.HttpRequest(method=method, path=path, headers=headers or {})
    request = attribute_context_pb2.AttributeContext.Request(http=http)
    return external_auth_pb2.CheckRequest(attributes=attribute_context_pb2.AttributeContext(request=request))


def entitled(stage: Stage, method: str, path: str) -> str | None:
    """The file that a request is good for, as the contract has it: one ticket, its own package, one plain path, one of few methods."""
    start = f"/p/{stage.ticket}/{stage.package}/"
    if not path.startswith(start) or len(path) > 8192:
        return None
    file, _, query = path.removeprefix(start).partition("?")
    methods = {"GET", "HEAD", "OPTIONS"}
    if file in ("licence/clearkey", "heartbeat"):
        methods = {"POST", "OPTIONS"}
    elif re.fullmatch("key/[0-9a-f]{32}", file):
        methods = {"GET", "OPTIONS"}
    elif file.startswith(("key/", "licence/")) or not _MEDIA.fullmatch(file):
        return None
    elif method in methods:
        return file
    return file if method in methods and not query else None


def judged(stage: Stage, request: external_auth_pb2.CheckRequest) -> None:
    """Sees that a request is let in if it is good, as what it is, and refused with a reason if it is not."""
    http = request.attributes.request.http
    verdict, file = stage.verdict(request), entitled(stage, http.method, http.path)
    assert verdict.allowed == (file is not None), (http.method, http.path, verdict.answer)
    if file is None:
        assert verdict.answer.denied_response.status.code == 403
        detail = verdict.body["details"][0]
        assert (detail["domain"], verdict.reason in REASONS) == (DOMAIN, True), verdict.body
        assert stage.ticket not in str(verdict.answer)
        return
    assert verdict.headers["x-reelmesh-session"] == stage.good.session.session_id
    where = {} if re.fullmatch("key/.*|licence/.*|heartbeat", file) else {":path": f"/published/{stage.package}/{file}"}
    assert {name: value for name, value in verdict.headers.items() if name == ":path"} == where


METHODS = st.sampled_from(["GET", "HEAD", "OPTIONS", "POST", "PUT", "DELETE", "get", "CONNECT", "", "G\0ET"]) | st.text(
    max_size=12
)
ODD = st.sampled_from(
    [
        "\0",
        "%00",
        "%2f",
        "%2F",
        "%2e%2e",
        "..",
        ".",
        "//",
        "/",
        "\\",
        "?",
        "#",
        ";",
        "\r\n",
        " ",
        "\x7f",
        "é",
        "𝕡",
        "?x=/../",
    ]
)
FILES = st.sampled_from(
    [
        *("manifest.mpd", "master.m3u8", "video/1.m4s", "heartbeat", "licence/clearkey", "licence/x", f"key/{HD}"),
        *("key/x", "", ".hidden", "video/../x", "video//1.m4s", "a" * 9000, "heartbeat/", "heartbeat?x"),
    ]
)


def paths(stage: Stage) -> st.SearchStrategy[str]:
    """Paths near the good one, and far from it."""
    tickets = st.sampled_from(
        [
            *(stage.ticket, ticket_of(stage.other), ticket_of(stage.revoked), ticket_of(stage.expired)),
            *("", "x", "a.b.c", f"{stage.ticket}/{stage.ticket}", f"{stage.ticket}.{stage.ticket}", stage.ticket[:-1]),
            *(stage.ticket.upper(), stage.ticket + "=", "A" * 4097, "." * 3),
        ]
    )
    packages = st.sampled_from([stage.package, stage.other.session.package_id, stage.package.upper(), "pkg_", ""])
    built = st.tuples(st.sampled_from(["/p/", "/P/", "//p/", "p/", "/p//", "/"]), tickets, packages, FILES).map(
        lambda parts: f"{parts[0]}{parts[1]}/{parts[2]}/{parts[3]}"
    )
    exact = FILES.map(lambda file: f"/p/{stage.ticket}/{stage.package}/{file}")
    near = st.one_of(built, exact)
    mutated = st.tuples(near, st.integers(0, 10_000), ODD | st.text(max_size=3), st.booleans()).map(_changed)
    return st.one_of(exact, built, mutated, st.text(max_size=300))


def _changed(parts: tuple[str, int, str, bool]) -> str:
    path, at, odd, replaces = parts
    at %= len(path) + 1
    return path[:at] + odd + path[at + replaces * len(odd) :]


HEADERS = st.dictionaries(
    st.sampled_from([":path", ":method", "authorization", "x-reelmesh-session", "x-forwarded-for", "x-correlation-id"])
    | st.text(max_size=20),
    st.text(max_size=60) | st.sampled_from(["1.2.3.4", "x" * 10_000, "\0", "10.0.0.1, nonsense"]),
    max_size=6,
)


async def test_nothing_but_a_good_request_is_let_in(stage: Stage) -> None:
    @FUZZED
    @given(METHODS, paths(stage), HEADERS)
    def check(method: str, path: str, headers: dict[str, str]) -> None:
        judged(stage, asked(method, path, headers))

    await holds(check)


async def test_no_byte_of_a_ticket_can_be_another(stage: Stage) -> None:
    """Every place of it, for two files: at the end of the signature some bits say nothing, and must be zero all the same."""
    places = st.integers(0, len(stage.ticket) - 1)

    def refused(at: int, character: str, file: str) -> None:
        changed = stage.ticket[:at] + character + stage.ticket[at + 1 :]
        if changed != stage.ticket:
            verdict = stage.verdict(asked("GET", f"/p/{changed}/{stage.package}/{file}"))
            assert verdict.reason in REFORGED, (at, character)

    @FUZZED
    @given(
        places,
        st.sampled_from(_BASE64URL + ".") | st.characters(codec="utf-8"),
        st.sampled_from(["manifest.mpd", "1.m4s"]),
    )
    def check(at: int, character: str, file: str) -> None:
        if character not in "/?":  # they would end the ticket: a shorter one, which is another test's
            refused(at, character, file)

    def all_of_them() -> None:
        last = len(stage.ticket) - 1
        for character in _BASE64URL:
            refused(last, character, "1.m4s")
        for at in range(last + 1):
            refused(at, _next(stage.ticket[at]), "1.m4s")

    await holds(check)
    await holds(all_of_them)


def _next(character: str) -> str:
    return _BASE64URL[(_BASE64URL.find(character) + 1) % len(_BASE64URL)]


async def test_no_bit_of_a_ticket_can_be_another_and_no_byte_missing(stage: Stage) -> None:
    @FUZZED
    @given(st.data())
    def check(data: st.DataObject) -> None:
        ticket = stage.ticket.encode()
        if data.draw(st.booleans()):
            at = data.draw(st.integers(0, len(ticket) * 8 - 1))
            one = bytes([ticket[at // 8] ^ 1 << at % 8])
            changed = ticket[: at // 8] + one + ticket[at // 8 + 1 :]
        else:
            changed = ticket[: data.draw(st.integers(0, len(ticket) - 1))]
        path = f"/p/{changed.decode('latin-1')}/{stage.package}/1.m4s"
        judged(stage, asked("GET", path))

    await holds(check)


async def test_a_ticket_by_another_key_or_algorithm_is_refused_whatever_it_says(stage: Stage) -> None:
    pem = (stage.scene.settings.secrets_dir / TICKET_KEY_FILE).read_bytes()
    ours = load_pem_private_key(pem, password=None)
    assert isinstance(ours, EllipticCurvePrivateKey)
    header, claims = (
        jwt.get_unverified_header(stage.ticket),
        jwt.decode(stage.ticket, options={"verify_signature": False}),
    )
    values = (
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.lists(st.text(max_size=5))
    )
    changes = st.dictionaries(st.sampled_from([*claims, "nbf", "aud", "x"]), values, max_size=3)
    odd_headers = st.dictionaries(
        st.sampled_from(["alg", "kid", "typ", "crit", "jku", "jwk", "x5u", "b64", "zip"]),
        st.sampled_from(["none", "None", "HS256", "ES256", "ES384", "RS256", "JWT", "playback+jwt", "", "x", "DEF"]),
        max_size=3,
    )

    def part(value: object) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")

    @FUZZED
    @given(changes, odd_headers, st.sampled_from(["another key", "none", "hmac"]))
    def check(changed: dict[str, Any], odd: dict[str, str], how: str) -> None:
        said = {**claims, **changed}
        if how == "another key":
            token = jwt.encode({}, generate_private_key(SECP256R1()), algorithm="ES256")
            token = f"{part({**header, **odd})}.{part(said)}.{token.rpartition('.')[2]}"
        elif how == "none":
            token = f"{part({**header, 'alg': 'none', **odd})}.{part(said)}.{part('x')}"
        else:
            signed = f"{part({**header, 'alg': 'HS256'})}.{part(said)}"
            proof = hmac.digest(part(claims).encode(), signed.encode(), "sha256")
            token = f"{signed}.{base64.urlsafe_b64encode(proof).decode().rstrip('=')}"
        verdict = stage.verdict(asked("GET", f"/p/{token}/{stage.package}/1.m4s"))
        assert verdict.reason in REFORGED, token

    await holds(check)


async def test_what_is_no_request_at_all_is_answered_by_an_error_and_never_by_a_yes(stage: Stage) -> None:
    """Bytes that are no message end the call, which Envoy takes for no answer: it lets nobody in."""
    good = asked(
        "GET", f"/p/{stage.ticket}/{stage.package}/1.m4s", {"x-correlation-id": "fuzz-0001"}
    ).SerializeToString()
    mutations = st.lists(st.tuples(st.integers(0, len(good) - 1), st.integers(0, 255)), min_size=1, max_size=4)

    def mutated(changes: list[tuple[int, int]]) -> bytes:
        raw = bytearray(good)
        for at, byte in changes:
            raw[at] = byte
        return bytes(raw)

    @FUZZED
    @given(st.binary(max_size=400) | mutations.map(mutated))
    def check(raw: bytes) -> None:
        try:
            request = external_auth_pb2.CheckRequest.FromString(raw)
        except DecodeError:
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                stage.now(_awaited(stage.ask(raw)))
            assert Refusal.from_rpc_error(caught.value).reason == "REQUEST_INVALID"
            assert stage.ticket not in str(caught.value.details())
        else:
            judged(stage, request)

    await holds(check)


@pytest.mark.parametrize("caller", ["drm", "assets", "oauth", "stranger"])
async def test_nobody_but_envoy_is_answered_whatever_is_asked(stage: Stage, caller: str) -> None:
    good = asked("GET", f"/p/{stage.ticket}/{stage.package}/1.m4s").SerializeToString()
    async with connected(stage.scene.settings, "policy", key="", caller=caller) as channel:
        ask: Ask = channel.unary_unary(CHECK, None, None)

        @fuzzed(30)
        @given(st.just(good) | st.binary(max_size=100))
        def check(raw: bytes) -> None:
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                stage.now(_awaited(ask(raw)))
            assert caught.value.code() is grpc.StatusCode.PERMISSION_DENIED, raw

        await holds(check)
