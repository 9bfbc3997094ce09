"""OAuth 2.1 over HTTP: a program is let in, and everything that is not quite right is not."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from typing import Final
from urllib.parse import urlsplit

import httpx
import jwt
import pytest
from reelmesh.identity.v1 import accounts_service_pb2, events_pb2

from services.kit.settings import ProcessSettings
from tests.identity.scene import claims, refused
from tests.support.oauth import CALLBACK, CLIENT, CODE, REFRESH, OAuthScene, Program, an_oauth_scene, answer_of, pkce


@pytest.fixture
async def scene(mesh: ProcessSettings) -> AsyncIterator[OAuthScene]:
    async with an_oauth_scene(mesh) as scene:
        yield scene


def error(answer: httpx.Response) -> str:
    assert answer.headers["cache-control"] == "no-store"
    return str(answer.json()["error"])


async def verified(scene: OAuthScene, token: str, audience: str) -> dict[str, object]:
    """The claims of a token, by the published keys."""
    keys = jwt.PyJWKSet.from_dict((await scene.http.get("/.well-known/jwks.json")).json())
    key = keys[jwt.get_unverified_header(token)["kid"]]
    return dict(
        jwt.decode(
            token, key, algorithms=["ES256"], audience=audience, options={"verify_exp": False, "verify_iat": False}
        )
    )


async def test_a_program_is_let_in_by_code_and_pkce(scene: OAuthScene) -> None:
    person, program = await scene.identity.register(display_name="Ada"), await scene.register()
    verifier, challenge = pkce()
    asked = await scene.asks(program, code_challenge=challenge)
    assert asked.headers["location"].startswith(f"{scene.issuer}/authorize#request=aut_")
    back = await scene.answers(person, asked)
    assert back.startswith(f"{CALLBACK}?")
    said = answer_of(back)
    assert (said["state"], said["iss"]) == ("xyz", scene.issuer)
    answer = await scene.exchanged(program, said["code"], verifier)
    assert answer.status_code == 200, answer.text
    tokens = answer.json()
    assert (tokens["token_type"], tokens["expires_in"]) == ("Bearer", 900)
    assert tokens["scope"] == "offline_access openid playback.create"
    access = claims(tokens["access_token"])
    assert (access["sub"], access["client_id"], access["scope"]) == (
        person.account.account_id,
        program.client_id,
        "playback.create",
    )
    told = await verified(scene, tokens["id_token"], program.client_id)
    assert (told["iss"], told["sub"], told["nonce"]) == (scene.issuer, person.account.account_id, "n-0S6_WzA2Mj")
    assert told["auth_time"] == int(scene.identity.clock.now().timestamp())
    assert told["at_hash"]
    granted = await scene.identity.bus.hears(events_pb2.AuthorizationGranted)
    assert (granted.account_id, granted.client_id) == (person.account.account_id, program.client_id)


ELSEWHERE: Final = [
    "https://evil.example/callback",
    f"{CALLBACK}/",
    f"{CALLBACK}?x=1",
    f"{CALLBACK}#x",
    "https://app.example@evil.example/callback",
    "https://app.example.evil.example/callback",
    "https://app.example/callback/../../evil",
    "https://app.example/callback%0d%0aSet-Cookie:x",
    "HTTPS://app.example/callback",
    "//evil.example",
    "javascript:alert(1)",
    "http://127.0.0.1:80@evil.example/",
    None,
]


async def test_nobody_is_sent_to_an_address_that_is_not_registered(scene: OAuthScene) -> None:
    program = await scene.register()
    for uri in ELSEWHERE:
        answer = await scene.asks(program, redirect_uri=uri)
        assert (answer.status_code, "location" in answer.headers) == (400, False), uri
        assert answer.headers["content-type"].startswith("text/html")
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        assert "<script" not in answer.text
        assert "data-error" in answer.text


async def test_what_came_with_the_request_is_not_run_on_the_page(scene: OAuthScene) -> None:
    answer = await scene.asks(Program("<script>alert(1)</script>"), redirect_uri="https://x/<script>")
    assert (answer.status_code, "<script>" in answer.text) == (400, False)


async def test_only_the_port_of_a_loopback_address_is_free(scene: OAuthScene) -> None:
    program = await scene.register(redirect_uris=["http://127.0.0.1/back", "com.example.app:/back"])
    fine = ["http://127.0.0.1/back", "http://127.0.0.1:49152/back", "com.example.app:/back"]
    wrong = [
        "http://127.0.0.1:49152/other",
        "http://localhost:49152/back",
        "http://127.0.0.1:1@evil.example/back",
        "http://127.0.0.1.evil.example/back",
        "https://127.0.0.1/back",
        "com.example.app:/other",
    ]
    assert [(await scene.asks(program, redirect_uri=uri)).status_code for uri in fine] == [302] * len(fine)
    assert [(await scene.asks(program, redirect_uri=uri)).status_code for uri in wrong] == [400] * len(wrong)


WRONG: Final[Sequence[tuple[dict[str, str | None], str]]] = [
    ({"code_challenge": None}, "invalid_request"),
    ({"code_challenge_method": "plain"}, "invalid_request"),
    ({"code_challenge_method": None}, "invalid_request"),
    ({"code_challenge": "short"}, "invalid_request"),
    ({"response_type": "token"}, "unsupported_response_type"),
    ({"response_type": "id_token"}, "unsupported_response_type"),
    ({"response_type": "code token"}, "unsupported_response_type"),
    ({"response_mode": "fragment"}, "invalid_request"),
    ({"scope": "openid assets.write"}, "invalid_scope"),
    ({"scope": "openid nothing.such"}, "invalid_scope"),
    ({"scope": None}, "invalid_scope"),
    ({"prompt": "none login"}, "invalid_request"),
    ({"prompt": "dance"}, "invalid_request"),
    ({"max_age": "-1"}, "invalid_request"),
    ({"state": "x" * 2001}, "invalid_request"),
    ({"request": "eyJhbGciOiJub25lIn0.e30."}, "request_not_supported"),
    ({"request_uri": "https://evil.example/request"}, "request_uri_not_supported"),
]


async def test_a_request_that_is_not_right_goes_back_with_its_error(scene: OAuthScene) -> None:
    program = await scene.register()
    for changed, expected in WRONG:
        answer = await scene.asks(program, **changed)
        assert answer.status_code == 302, answer.text
        location = answer.headers["location"]
        assert urlsplit(location)._replace(query="").geturl() == CALLBACK
        said = answer_of(location)
        assert (said["error"], said["iss"]) == (expected, scene.issuer), changed
        assert said["state"] == changed.get("state", "xyz")


async def test_a_parameter_that_comes_twice_is_refused(scene: OAuthScene) -> None:
    program = await scene.register()
    for twice in ("client_id", "redirect_uri", "state"):
        asked = await scene.http.get(
            "/oauth/authorize",
            params=[
                ("response_type", "code"),
                ("client_id", program.client_id),
                ("redirect_uri", CALLBACK),
                ("state", "x"),
                ("scope", "openid"),
                (twice, "https://evil.example"),
            ],
        )
        assert "evil.example" not in asked.headers.get("location", "")
        assert asked.status_code == 400 or answer_of(asked.headers["location"])["error"] == "invalid_request"
    answer = await scene.http.post(
        "/oauth/token",
        content="grant_type=refresh_token&refresh_token=a&refresh_token=b&client_id=" + program.client_id,
        headers={"content-type": "application/x-www-form-urlencoded"},
    )
    assert error(answer) == "invalid_request"


async def test_a_person_who_says_no_sends_the_program_away(scene: OAuthScene) -> None:
    person, program = await scene.identity.register(), await scene.register()
    said = answer_of(await scene.answers(person, await scene.asks(program), approve=False))
    assert (said["error"], said["state"], said["iss"]) == ("access_denied", "xyz", scene.issuer)
    refusal = await scene.identity.bus.hears(events_pb2.AuthorizationRefused)
    assert refusal.account_id == person.account.account_id


async def test_a_code_without_its_verifier_is_worth_nothing(scene: OAuthScene) -> None:
    person, program = await scene.identity.register(), await scene.register()
    verifier, challenge = pkce()
    code = await scene.code(program, person, challenge)
    missing = await scene.token(program, grant_type="authorization_code", code=code, redirect_uri=CALLBACK)
    assert (missing.status_code, error(missing)) == (400, "invalid_request")
    wrong = await scene.exchanged(program, code, pkce()[0])
    assert (wrong.status_code, error(wrong)) == (400, "invalid_grant")
    assert error(await scene.exchanged(program, code, challenge)) == "invalid_grant"  # as `plain` would have it
    assert error(await scene.exchanged(program, code, "short")) == "invalid_request"
    assert (await scene.exchanged(program, code, verifier)).status_code == 200


async def test_a_code_used_twice_ends_the_session_that_came_of_it(scene: OAuthScene) -> None:
    person, program = await scene.identity.register(), await scene.register()
    verifier, challenge = pkce()
    code = await scene.code(program, person, challenge)
    tokens = (await scene.exchanged(program, code, verifier)).json()
    assert error(await scene.exchanged(program, code, verifier)) == "invalid_grant"
    assert error(await scene.refreshed(program, tokens["refresh_token"])) == "invalid_grant"
    info = await scene.http.get("/oauth/userinfo", headers={"authorization": f"Bearer {tokens['access_token']}"})
    assert info.status_code == 401
    stolen = await scene.identity.bus.hears(events_pb2.AuthorizationCodeReused)
    assert stolen.session_id == claims(tokens["access_token"])["sid"]
    ended = await scene.identity.bus.hears(events_pb2.SessionEnded)
    assert ended.cause == events_pb2.SESSION_END_CODE_REUSED


async def test_a_code_is_good_for_a_minute(scene: OAuthScene) -> None:
    person, program = await scene.identity.register(), await scene.register()
    verifier, challenge = pkce()
    code = await scene.code(program, person, challenge)
    scene.identity.clock.advance(timedelta(seconds=60))
    assert error(await scene.exchanged(program, code, verifier)) == "invalid_grant"


async def test_a_code_is_good_for_one_client_and_one_address_only(scene: OAuthScene) -> None:
    person = await scene.identity.register()
    program = await scene.register(redirect_uris=[CALLBACK, "https://app.example/other"])
    other = await scene.register(confidential=True)
    verifier, challenge = pkce()
    code = await scene.code(program, person, challenge)
    assert error(await scene.exchanged(other, code, verifier)) == "invalid_grant"
    elsewhere = await scene.exchanged(program, code, verifier, redirect_uri="https://app.example/other")
    assert error(elsewhere) == "invalid_grant"
    assert (await scene.exchanged(program, code, verifier)).status_code == 200


async def test_a_refresh_token_is_good_for_its_client_only_and_once(scene: OAuthScene) -> None:
    person, program, other = await scene.identity.register(), await scene.register(), await scene.register()
    first = await scene.let_in(program, person)
    assert error(await scene.refreshed(other, first["refresh_token"])) == "invalid_grant"
    ours = accounts_service_pb2.RefreshSessionRequest(request_id="request-1", refresh_token=first["refresh_token"])
    assert (await refused(scene.identity.accounts.RefreshSession(ours))).reason == "REFRESH_TOKEN_INVALID"
    second = (await scene.refreshed(program, first["refresh_token"])).json()
    assert claims(second["access_token"])["sid"] == claims(first["access_token"])["sid"]
    assert error(await scene.refreshed(program, first["refresh_token"])) == "invalid_grant"
    assert error(await scene.refreshed(program, second["refresh_token"])) == "invalid_grant"
    ended = await scene.identity.bus.hears(events_pb2.SessionEnded)
    assert ended.cause == events_pb2.SESSION_END_TOKEN_REUSED


async def test_a_refresh_token_of_our_own_pages_is_of_no_use_to_a_client(scene: OAuthScene) -> None:
    person, program = await scene.identity.register(), await scene.register()
    assert error(await scene.refreshed(program, person.tokens.refresh_token)) == "invalid_grant"
    fresh = accounts_service_pb2.RefreshSessionRequest(
        request_id="request-1", refresh_token=person.tokens.refresh_token
    )
    assert (await scene.identity.accounts.RefreshSession(fresh)).tokens.access_token


async def test_a_refresh_can_ask_for_less_but_not_for_more(scene: OAuthScene) -> None:
    person, program = await scene.identity.register(), await scene.register()
    first = await scene.let_in(program, person)
    more = await scene.refreshed(program, first["refresh_token"], scope="openid email")
    assert error(more) == "invalid_scope"
    less = (await scene.refreshed(program, first["refresh_token"], scope="openid")).json()
    assert (less["scope"], claims(less["access_token"])["scope"]) == ("openid", "")
    whole = (await scene.refreshed(program, less["refresh_token"])).json()
    assert whole["scope"] == "offline_access openid playback.create"


async def test_without_offline_access_there_is_nothing_to_refresh(scene: OAuthScene) -> None:
    person, program = await scene.identity.register(), await scene.register()
    tokens = await scene.let_in(program, person, scope="openid")
    assert "refresh_token" not in tokens
    listed = await scene.identity.accounts.ListSessions(
        accounts_service_pb2.ListSessionsRequest(), metadata=person.shown
    )
    expiry = {one.client_id: one.expire_time.ToDatetime() - one.create_time.ToDatetime() for one in listed.sessions}
    assert expiry[program.client_id] == timedelta(minutes=15)


async def test_two_requests_with_one_code_give_one_session_at_most(scene: OAuthScene) -> None:
    person, program = await scene.identity.register(), await scene.register()
    verifier, challenge = pkce()
    code = await scene.code(program, person, challenge)
    answers = await asyncio.gather(*(scene.exchanged(program, code, verifier) for _ in range(4)))
    assert sorted(answer.status_code for answer in answers) == [200, 400, 400, 400]
    tokens = next(answer for answer in answers if answer.status_code == 200).json()
    # Four at a time is a theft as well as one after the other.
    assert error(await scene.refreshed(program, tokens["refresh_token"])) == "invalid_grant"


@pytest.mark.parametrize("grant", ["password", "implicit", "urn:ietf:params:oauth:grant-type:jwt-bearer", ""])
async def test_ways_that_are_not_safe_are_not_there(scene: OAuthScene, grant: str) -> None:
    program = await scene.register()
    answer = await scene.token(program, grant_type=grant, username="x", password="y")
    assert error(answer) == "unsupported_grant_type"


async def test_a_confidential_client_must_show_its_secret(scene: OAuthScene) -> None:
    person, program = await scene.identity.register(), await scene.register(confidential=True)
    verifier, challenge = pkce()
    code = await scene.code(program, person, challenge)
    for shown in (Program(program.client_id), Program(program.client_id, "rms_wrong"), Program("cli_nobody", "x")):
        answer = await scene.exchanged(shown, code, verifier)
        assert (answer.status_code, error(answer)) == (401, "invalid_client"), shown
        assert answer.headers["www-authenticate"].startswith("Basic")
    twice = await scene.exchanged(program, code, verifier, client_secret=program.secret)
    assert error(twice) == "invalid_request"
    form = {"client_id": program.client_id, "client_secret": program.secret}
    posted = await scene.exchanged(Program(program.client_id), code, verifier, **form)
    assert posted.status_code == 200


async def test_a_client_goes_only_the_ways_it_is_registered_for(scene: OAuthScene) -> None:
    program = await scene.register(grants=[CODE])
    assert error(await scene.refreshed(program, "rmr_x")) == "unauthorized_client"
    tv = Program("reelmesh-tv")
    assert (await scene.asks(tv)).status_code == 400
    device = await scene.http.post(
        "/oauth/device_authorization", data={"client_id": program.client_id, "scope": "openid"}
    )
    assert error(device) == "unauthorized_client"


async def test_what_a_client_may_know_of_a_person_depends_on_its_scopes(scene: OAuthScene) -> None:
    person, program = await scene.identity.register(display_name="Ada"), await scene.register()

    async def told(scope: str) -> httpx.Response:
        tokens = await scene.let_in(program, person, scope=scope)
        return await scene.http.get("/oauth/userinfo", headers={"authorization": f"Bearer {tokens['access_token']}"})

    sub = person.account.account_id
    assert (await told("openid")).json() == {"sub": sub}
    assert (await told("openid profile")).json() == {"sub": sub, "name": "Ada"}
    assert (await told("openid email")).json() == {"sub": sub, "email": person.email, "email_verified": True}
    lacking = await told("playback.create")
    assert (lacking.status_code, error(lacking)) == (403, "insufficient_scope")
    assert (await scene.http.get("/oauth/userinfo")).headers["www-authenticate"] == 'Bearer realm="reelmesh"'


async def test_a_program_cannot_do_more_than_its_person_or_than_it_was_let(scene: OAuthScene) -> None:
    person = await scene.identity.register()  # a viewer
    program = await scene.register(grants=[CODE, REFRESH], scopes=["openid", "assets.read", "accounts.manage"])
    tokens = await scene.let_in(program, person, scope="openid assets.read accounts.manage")
    assert claims(tokens["access_token"])["scope"] == ""
    shown = (("authorization", f"Bearer {tokens['access_token']}"),)
    mine = await refused(scene.identity.accounts.GetAccount(accounts_service_pb2.GetAccountRequest(), metadata=shown))
    assert (mine.reason, mine.metadata["caller"]) == ("PERMISSION_MISSING", "person")


async def test_a_client_acts_for_its_organisation(scene: OAuthScene) -> None:
    program = await scene.register(confidential=True, grants=[CLIENT], scopes=["accounts.read", "assets.read"])
    answer = await scene.token(program, grant_type="client_credentials", scope="accounts.read")
    tokens = answer.json()
    assert (tokens["scope"], "refresh_token" in tokens, "id_token" in tokens) == ("accounts.read", False, False)
    said = claims(tokens["access_token"])
    assert (said["sub"], said["org"]) == (program.client_id, scene.identity.home)
    shown = (("authorization", f"Bearer {tokens['access_token']}"),)
    accounts = scene.identity.accounts
    assert await accounts.ListAccounts(accounts_service_pb2.ListAccountsRequest(), metadata=shown)
    lock = accounts_service_pb2.SetAccountLockRequest(account_id="usr_01jd0000000000000000000000", locked=True)
    assert (await refused(accounts.SetAccountLock(lock, metadata=shown))).reason == "PERMISSION_MISSING"
    assert (await refused(accounts.GetAccount(accounts_service_pb2.GetAccountRequest(), metadata=shown))).reason == (
        "PERMISSION_MISSING"
    )
    whole = (await scene.token(program, grant_type="client_credentials")).json()
    assert whole["scope"] == "accounts.read assets.read"
    assert error(await scene.token(program, grant_type="client_credentials", scope="uploads.write")) == "invalid_scope"
    revoked = await scene.http.post("/oauth/revoke", data={"token": tokens["access_token"]}, headers=program.basic)
    assert revoked.status_code == 200
    listing = accounts_service_pb2.ListAccountsRequest()
    assert (await refused(accounts.ListAccounts(listing, metadata=shown))).reason == "CREDENTIAL_INVALID"
    other = (("authorization", f"Bearer {whole['access_token']}"),)
    assert await accounts.ListAccounts(listing, metadata=other)  # the other token is not touched


async def test_a_confidential_client_learns_what_a_token_is_good_for(scene: OAuthScene) -> None:
    person, program, other = (
        await scene.identity.register(),
        await scene.register(confidential=True),
        await scene.register(),
    )
    tokens = await scene.let_in(program, person)

    async def told(by: Program, token: str) -> httpx.Response:
        return await scene.http.post(
            "/oauth/introspect", data={"token": token, "client_id": by.client_id}, headers=by.basic
        )

    access = (await told(program, tokens["access_token"])).json()
    assert (access["active"], access["sub"], access["scope"], access["token_type"]) == (
        True,
        person.account.account_id,
        "playback.create",
        "Bearer",
    )
    refresh = (await told(program, tokens["refresh_token"])).json()
    assert (refresh["active"], refresh["client_id"]) == (True, program.client_id)
    # Our own pages' tokens that act for the client's organisation are its business; their refresh tokens are not.
    assert (await told(program, person.tokens.access_token)).json()["active"] is True
    assert (await told(program, person.tokens.refresh_token)).json() == {"active": False}
    assert (await told(program, "nonsense")).json() == {"active": False}
    assert error(await told(other, tokens["access_token"])) == "invalid_client"
    scene.identity.clock.advance(timedelta(minutes=15))
    assert (await told(program, tokens["access_token"])).json() == {"active": False}


async def test_a_client_gives_its_tokens_back(scene: OAuthScene) -> None:
    person, program, other = await scene.identity.register(), await scene.register(), await scene.register()
    tokens = await scene.let_in(program, person)

    async def given_back(by: Program, token: str) -> httpx.Response:
        return await scene.http.post("/oauth/revoke", data={"token": token, "client_id": by.client_id})

    assert error(await given_back(other, tokens["refresh_token"])) == "invalid_grant"
    assert error(await given_back(other, tokens["access_token"])) == "invalid_grant"
    assert (await given_back(program, tokens["refresh_token"])).status_code == 200
    assert (await given_back(program, tokens["refresh_token"])).status_code == 200
    assert (await given_back(program, "unknown")).status_code == 200
    assert error(await scene.refreshed(program, tokens["refresh_token"])) == "invalid_grant"
    info = await scene.http.get("/oauth/userinfo", headers={"authorization": f"Bearer {tokens['access_token']}"})
    assert info.status_code == 401


ODD = [
    "%00",
    "%ff%fe",
    "%22%3E%3Cscript%3E",
    "%F0%9F%8E%AC",
    "a" * 3000,
    "%0d%0aX-Evil:1",
    "..%2f..%2f",
    "%5c",
    "&&==&",
    "%",
]


async def test_odd_requests_are_refused_and_break_nothing(scene: OAuthScene) -> None:
    program = await scene.register()
    for odd in ODD:
        await odd_requests_are_refused(scene, program, odd)


async def odd_requests_are_refused(scene: OAuthScene, program: Program, odd: str) -> None:
    whole = f"response_type=code&client_id={program.client_id}&scope=openid&code_challenge={pkce()[1]}&code_challenge_method=S256"
    right = f"&redirect_uri={CALLBACK}"
    for query in (
        f"client_id={odd}",
        f"{whole}&redirect_uri={odd}",
        f"{whole}{right}&state={odd}",
        f"{whole}{right}&nonce={odd}&login_hint={odd}",
        f"{whole}{right}&prompt={odd}&max_age={odd}",
        f"{whole}{right}&{odd}={odd}",
        f"response_type={odd}&client_id={program.client_id}{right}",
        odd,
    ):
        answer = await scene.http.get(f"/oauth/authorize?{query}")
        assert answer.status_code in {302, 400}, query
        assert "x-evil" not in answer.headers
        assert "<script>" not in answer.text
    form = {"content-type": "application/x-www-form-urlencoded"}
    for path in ("token", "device_authorization", "revoke", "introspect"):
        for body in (
            odd,
            f"client_id={odd}&token={odd}&grant_type={odd}",
            f"grant_type=refresh_token&client_id={program.client_id}&refresh_token={odd}&scope={odd}",
        ):
            answer = await scene.http.post(f"/oauth/{path}", content=body, headers=form)
            assert answer.status_code in {200, 400, 401}, (path, body)
        answer = await scene.http.post(f"/oauth/{path}", json={"grant_type": odd})
        assert error(answer) == "invalid_request"
        for shown in (f"Basic {odd}", "Basic /////w==", "Basic", f"Bearer {odd}"):
            answer = await scene.http.post(
                f"/oauth/{path}", content="grant_type=refresh_token&token=x", headers={**form, "authorization": shown}
            )
            assert answer.status_code in {400, 401}, (path, shown)


async def test_a_body_that_is_too_long_is_refused(scene: OAuthScene) -> None:
    answer = await scene.http.post("/oauth/token", data={"grant_type": "x" * 70_000})
    assert (answer.status_code, error(answer)) == (400, "invalid_request")


async def test_nothing_secret_is_written_to_the_log(scene: OAuthScene, capfd: pytest.CaptureFixture[str]) -> None:
    person, program = await scene.identity.register(), await scene.register(confidential=True)
    verifier, challenge = pkce()
    code = await scene.code(program, person, challenge, state="a-secret-state")
    tokens = (await scene.exchanged(program, code, verifier)).json()
    fresh = (await scene.refreshed(program, tokens["refresh_token"])).json()
    await scene.exchanged(program, code, verifier)
    await scene.http.post("/oauth/revoke", data={"token": fresh["refresh_token"]}, headers=program.basic)
    written = "".join(capfd.readouterr())
    assert "ExchangeCode" in written
    for secret in (
        code,
        verifier,
        program.secret,
        "a-secret-state",
        *(tokens[name] for name in ("access_token", "refresh_token", "id_token")),
    ):
        assert secret not in written
