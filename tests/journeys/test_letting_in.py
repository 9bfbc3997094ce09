"""A person in a browser lets an app in, and a television."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.async_api import Page, Route, expect
from reelmesh.identity.v1 import sso_service_pb2, sso_service_pb2_grpc

from services.kit.ids import new_id
from services.kit.settings import ProcessSettings
from tests.envoy.edge import Edge, free_port, running_edge
from tests.identity.scene import Person
from tests.support.chromium import opened_page, running_chromium
from tests.support.oauth import CALLBACK, DEVICE_GRANT, OAuthScene, Program, an_oauth_scene, answer_of, pkce
from tests.support.outside_provider import CLIENT_ID, SECRET, running_provider

DIST = Path(__file__).resolve().parents[2] / "web/dist"


@dataclass(frozen=True)
class Visit:
    """A browser before an edge with identity behind it."""

    scene: OAuthScene
    edge: Edge
    page: Page
    person: Person

    def at(self, path: str) -> str:
        return f"http://{self.edge.address}{path}"

    async def signs_in(self) -> None:
        """The person is signed in in this tab."""
        await self.page.goto(self.at(f"/sso#key={self.person.tokens.access_token}"))
        await expect(self.page.get_by_test_id("sign-out")).to_be_visible()


@pytest.fixture
async def visit(mesh: ProcessSettings) -> AsyncIterator[Visit]:
    # The gateway sends browsers to the address at which people reach the edge, so it must be known before either runs.
    port = free_port()
    async with AsyncExitStack() as stack:
        scene = await stack.enter_async_context(
            an_oauth_scene(mesh, public_url=f"http://127.0.0.1:{port}", sso_networks="loopback")
        )
        edge = await stack.enter_async_context(
            running_edge(
                mesh.secrets_dir,
                web=DIST,
                listen=f"127.0.0.1:{port}",
                oauth=f"unix:{scene.socket}",
                identity=mesh.peer("identity"),
            )
        )
        browser = await stack.enter_async_context(running_chromium())
        page = await stack.enter_async_context(opened_page(browser, 800, 700))
        yield Visit(scene, edge, page, await scene.identity.register())


async def test_a_person_lets_an_app_in(visit: Visit) -> None:
    program, (verifier, challenge) = await visit.scene.register(), pkce()
    back: list[str] = []

    async def app(route: Route) -> None:
        back.append(route.request.url)
        await route.fulfill(body="the app")

    await visit.page.route(f"{CALLBACK}*", app)
    await visit.signs_in()
    asked = await visit.scene.asks(program, code_challenge=challenge)
    await visit.page.goto(visit.at(f"/oauth/authorize?{asked.request.url.query.decode()}"))
    await expect(visit.page.get_by_test_id("authorize")).to_contain_text("An app of Home")
    await expect(visit.page.get_by_test_id("scopes")).to_contain_text("Play videos as you")
    await visit.page.get_by_test_id("approve").click()
    await expect(visit.page.get_by_text("the app")).to_be_visible()
    (address,) = back
    answer = await visit.scene.exchanged(program, answer_of(address)["code"], verifier)
    assert answer.status_code == 200, answer.text
    # Who said yes once is not asked again.
    await visit.page.goto(visit.at(f"/oauth/authorize?{asked.request.url.query.decode()}"))
    await expect(visit.page.get_by_text("the app")).to_be_visible()
    assert "code" in answer_of(back[1])


async def test_a_person_does_not_let_an_app_in(visit: Visit) -> None:
    program = await visit.scene.register()
    back: list[str] = []

    async def app(route: Route) -> None:
        back.append(route.request.url)
        await route.fulfill(body="the app")

    await visit.page.route(f"{CALLBACK}*", app)
    await visit.signs_in()
    asked = await visit.scene.asks(program)
    await visit.page.goto(visit.at(f"/oauth/authorize?{asked.request.url.query.decode()}"))
    await visit.page.get_by_test_id("deny").click()
    await expect(visit.page.get_by_text("the app")).to_be_visible()
    assert answer_of(back[0])["error"] == "access_denied"


async def test_who_is_not_signed_in_is_led_there_first_and_a_silent_app_is_told(visit: Visit) -> None:
    program = await visit.scene.register()
    asked = await visit.scene.asks(program)
    await visit.page.goto(visit.at(f"/oauth/authorize?{asked.request.url.query.decode()}"))
    await visit.page.wait_for_url(re.compile(r"/sign-in#next=%2Fauthorize%23request%3Daut_"))
    led = visit.page.url
    back: list[str] = []

    async def app(route: Route) -> None:
        back.append(route.request.url)
        await route.fulfill(body="the app")

    await visit.page.route(f"{CALLBACK}*", app)
    silent = await visit.scene.asks(program, prompt="none")
    await visit.page.goto(visit.at(f"/oauth/authorize?{silent.request.url.query.decode()}"))
    await expect(visit.page.get_by_text("the app")).to_be_visible()
    assert answer_of(back[0])["error"] == "login_required"
    await visit.page.goto(led)
    await visit.page.get_by_test_id("email").fill(visit.person.email)
    await visit.page.get_by_test_id("password").fill(visit.person.password)
    await visit.page.get_by_test_id("log-in").click()
    await expect(visit.page.get_by_test_id("authorize")).to_contain_text("An app of Home")


async def test_a_person_comes_in_by_an_outside_provider_and_goes_on_to_a_television(visit: Visit) -> None:
    form = {"client_id": "reelmesh-tv", "scope": "openid playback.create"}
    codes = (await visit.scene.http.post("/oauth/device_authorization", data=form)).json()
    identity = visit.scene.identity
    async with running_provider() as outside:
        sso = sso_service_pb2_grpc.SsoServiceStub(identity.channel)
        await sso.CreateSsoProvider(
            sso_service_pb2.CreateSsoProviderRequest(
                request_id=new_id("req"),
                display_name="Acme",
                issuer=outside.issuer,
                client_id=CLIENT_ID,
                client_secret=SECRET,
                email_domains=["acme.example"],
                provisioning=True,
                role_ids=["creator"],
            ),
            metadata=identity.operator,
        )
        await visit.page.goto(codes["verification_uri_complete"])
        await visit.page.get_by_test_id("outside-sign-in").click()
        await expect(visit.page.get_by_test_id("user-code")).to_have_value(codes["user_code"])
        await expect(visit.page.get_by_test_id("who")).to_contain_text("Ada Acme")
        # The session goes on after a reload: the refresh token came along.
        await visit.page.reload()
        await expect(visit.page.get_by_test_id("who")).to_contain_text("Ada Acme")


async def test_a_person_lets_a_television_in(visit: Visit) -> None:
    tv = Program("reelmesh-tv")
    form = {"client_id": tv.client_id, "scope": "openid playback.create"}
    codes = (await visit.scene.http.post("/oauth/device_authorization", data=form)).json()
    await visit.signs_in()
    await visit.page.goto(codes["verification_uri_complete"])
    await expect(visit.page.get_by_test_id("user-code")).to_have_value(codes["user_code"])
    await visit.page.get_by_test_id("user-code").fill("BBBB-BBBB")
    await visit.page.get_by_test_id("find-device").click()
    await expect(visit.page.get_by_test_id("refusal")).to_have_attribute("data-reason", "USER_CODE_INVALID")
    await visit.page.get_by_test_id("user-code").fill(codes["user_code"].lower())
    await visit.page.get_by_test_id("find-device").click()
    await expect(visit.page.get_by_test_id("device")).to_contain_text("Reelmesh for televisions")
    await visit.page.get_by_test_id("approve").click()
    await expect(visit.page.get_by_test_id("device-answered")).to_contain_text("signed in")
    answer = await visit.scene.token(tv, grant_type=DEVICE_GRANT, device_code=codes["device_code"])
    assert answer.status_code == 200, answer.text
