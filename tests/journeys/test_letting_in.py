"""A person in a browser lets an app in, and a television, sees to whom they let in, and is signed out by an app."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest
from playwright.async_api import Browser, Page, Route, expect
from reelmesh.identity.v1 import sso_service_pb2, sso_service_pb2_grpc

from services.kit.ids import new_id
from services.kit.settings import ProcessSettings
from tests.envoy.edge import Edge, running_edge
from tests.identity.scene import Person
from tests.journeys.pages import AXE, RULES
from tests.support.chromium import opened_page
from tests.support.oauth import CALLBACK, DEVICE_GRANT, OAuthScene, Program, an_oauth_scene, answer_of, pkce
from tests.support.outside_provider import CLIENT_ID, SECRET, running_provider
from tests.support.ports import free_port
from tests.support.stores import Emptying

if TYPE_CHECKING:
    SsoServiceStub = sso_service_pb2_grpc.SsoServiceAsyncStub

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

    async def logs_in(self, path: str) -> None:
        """The person signs in with their password, and goes on to a page."""
        await self.page.goto(self.at(f"/sign-in#next={quote(path, safe='')}"))
        await self.page.get_by_test_id("email").fill(self.person.email)
        await self.page.get_by_test_id("password").fill(self.person.password)
        await self.page.get_by_test_id("log-in").click()
        await expect(self.page.get_by_test_id("who")).to_be_visible()

    async def judge(self) -> None:
        """WCAG 2.2 AA as far as axe-core can tell, and nothing that has to be scrolled sideways, on a screen and on a phone."""
        await self.page.evaluate(AXE.read_text(encoding="utf-8"))
        for width in (1280, 390):
            await self.page.set_viewport_size({"width": width, "height": 800})
            found = await self.page.evaluate(
                f"axe.run(document, {{runOnly: {RULES}}}).then(result => result.violations.map("
                "rule => [rule.id, ...rule.nodes.map(node => node.html)]))"
            )
            assert found == [], width
            assert await self.page.evaluate("document.documentElement.scrollWidth <= innerWidth"), width

    async def signs_in(self) -> None:
        """The person is signed in in this tab."""
        await self.page.goto(self.at(f"/sso#key={self.person.tokens.access_token}"))
        await expect(self.page.get_by_test_id("sign-out")).to_be_visible()


@pytest.fixture(scope="module")
async def doors(session_stores: ProcessSettings, emptied: Emptying) -> AsyncIterator[tuple[OAuthScene, Edge]]:
    """Identity and the gateway behind an edge, for all who come: each test has a person and apps of its own."""
    # The gateway sends browsers to the address at which people reach the edge, so it must be known before either runs.
    port = free_port()
    async with AsyncExitStack() as stack:
        scene = await stack.enter_async_context(
            an_oauth_scene(session_stores, public_url=f"http://127.0.0.1:{port}", sso_networks="loopback")
        )
        edge = await stack.enter_async_context(
            running_edge(
                session_stores.secrets_dir,
                web=DIST,
                listen=f"127.0.0.1:{port}",
                oauth=f"unix:{scene.socket}",
                identity=session_stores.peer("identity"),
            )
        )
        yield scene, edge
    await emptied()


@pytest.fixture
async def visit(doors: tuple[OAuthScene, Edge], browser: Browser) -> AsyncIterator[Visit]:
    """Somebody new, in a browser of their own."""
    scene, edge = doors
    async with opened_page(browser, 800, 700) as page:
        yield Visit(scene, edge, page, await scene.identity.register())


@asynccontextmanager
async def outside_provider(
    visit: Visit, *, provisioning: bool = False, role_ids: Sequence[str] = ()
) -> AsyncIterator[SsoServiceStub]:
    """While this is open, people may come in by a provider of somebody else."""
    metadata = visit.scene.identity.operator
    sso: SsoServiceStub = sso_service_pb2_grpc.SsoServiceStub(visit.scene.identity.channel)
    async with running_provider() as outside:
        outside.clock = visit.scene.identity.clock
        answer = await sso.CreateSsoProvider(
            sso_service_pb2.CreateSsoProviderRequest(
                request_id=new_id("req"),
                display_name="Acme",
                issuer=outside.issuer,
                client_id=CLIENT_ID,
                client_secret=SECRET,
                email_domains=["acme.example"],
                provisioning=provisioning,
                role_ids=role_ids,
            ),
            metadata=metadata,
        )
        try:
            yield sso
        finally:
            gone = sso_service_pb2.DeleteSsoProviderRequest(provider_id=answer.provider.provider_id)
            await sso.DeleteSsoProvider(gone, metadata=metadata)


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
    await expect(visit.page.get_by_text("the app")).to_be_visible(timeout=30_000)
    (address,) = back
    answer = await visit.scene.exchanged(program, answer_of(address)["code"], verifier)
    assert answer.status_code == 200, answer.text
    # Who said yes once is not asked again.
    await visit.page.goto(visit.at(f"/oauth/authorize?{asked.request.url.query.decode()}"))
    await expect(visit.page.get_by_text("the app")).to_be_visible(timeout=30_000)
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
    await expect(visit.page.get_by_text("the app")).to_be_visible(timeout=30_000)
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
    await expect(visit.page.get_by_text("the app")).to_be_visible(timeout=30_000)
    assert answer_of(back[0])["error"] == "login_required"
    await visit.page.goto(led)
    await visit.page.get_by_test_id("email").fill(visit.person.email)
    await visit.page.get_by_test_id("password").fill(visit.person.password)
    await visit.page.get_by_test_id("log-in").click()
    await expect(visit.page.get_by_test_id("authorize")).to_contain_text("An app of Home")


async def test_a_person_comes_in_by_an_outside_provider_and_goes_on_to_a_television(visit: Visit) -> None:
    form = {"client_id": "reelmesh-tv", "scope": "openid playback.create"}
    codes = (await visit.scene.http.post("/oauth/device_authorization", data=form)).json()
    async with outside_provider(visit, provisioning=True, role_ids=["creator"]):
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


async def test_a_person_sees_which_apps_they_let_in_and_puts_one_out_by_keyboard(visit: Visit) -> None:
    stays, goes = await visit.scene.register(), await visit.scene.register()
    await visit.scene.let_in(stays, visit.person)
    tokens = await visit.scene.let_in(goes, visit.person)
    await visit.logs_in("/account")
    page = visit.page
    row = page.locator(f'[data-client-id="{goes.client_id}"]')
    await expect(page.get_by_test_id("consent")).to_have_count(2)
    await expect(row).to_contain_text("An app")
    await expect(row.get_by_test_id("scopes")).to_contain_text("Play videos as you")
    await visit.judge()
    await row.get_by_test_id("withdraw").focus()
    await page.keyboard.press("Enter")
    await expect(row.get_by_test_id("withdraw-keep")).to_be_focused()
    await visit.judge()
    await page.keyboard.press("Escape")
    await expect(row.get_by_test_id("withdraw")).to_be_focused()
    refreshed = await visit.scene.refreshed(goes, tokens["refresh_token"])
    assert refreshed.status_code == 200
    await page.keyboard.press("Enter")
    await page.keyboard.press("Shift+Tab")
    await page.keyboard.press("Enter")
    await expect(row).to_have_count(0)
    await expect(page.get_by_test_id("consent")).to_have_count(1)
    answer = await visit.scene.refreshed(goes, refreshed.json()["refresh_token"])
    assert answer.json()["error"] == "invalid_grant"


async def test_a_person_links_an_outside_provider_and_unlinks_it(visit: Visit) -> None:
    async with outside_provider(visit) as sso:
        await visit.logs_in("/account")
        page = visit.page
        await page.get_by_test_id("link").click()
        await expect(page.get_by_test_id("linked")).to_contain_text("ada@acme.example")
        await expect(page.get_by_test_id("link")).to_have_count(0)
        await visit.judge()
        await page.get_by_test_id("unlink").click()
        await page.get_by_test_id("unlink-sure").click()
        await expect(page.get_by_test_id("linked")).to_have_count(0)
        await expect(page.get_by_test_id("link")).to_contain_text("Link with Acme")
        listed = await sso.ListLinkedIdentities(
            sso_service_pb2.ListLinkedIdentitiesRequest(), metadata=visit.person.shown
        )
        assert list(listed.identities) == []


async def test_an_app_signs_a_person_out_who_says_so_and_gets_them_back(visit: Visit) -> None:
    bye, back = "https://app.example/bye", []
    program = await visit.scene.register(post_logout_redirect_uris=[bye])
    tokens = await visit.scene.let_in(program, visit.person)
    page = visit.page

    async def app(route: Route) -> None:
        back.append(route.request.url)
        await route.fulfill(body="the app")

    await page.route(f"{bye}*", app)
    await visit.logs_in("/account")
    leaving = f"/oauth/logout?id_token_hint={tokens['id_token']}&post_logout_redirect_uri={quote(bye)}&state=xyz"
    await page.goto(visit.at(leaving))
    await expect(page.get_by_test_id("leaving")).to_contain_text("An app has signed you out")
    await expect(page.get_by_test_id("leaving")).to_contain_text(visit.person.email)
    await visit.judge()
    await page.get_by_test_id("stay").click()
    await expect(page.get_by_test_id("who")).to_be_visible()
    assert back == []
    await page.goto(visit.at(leaving))
    await page.get_by_test_id("sign-out-too").click()
    await expect(page.get_by_text("the app")).to_be_visible(timeout=30_000)
    assert back == [f"{bye}?state=xyz"]
    assert (await visit.scene.refreshed(program, tokens["refresh_token"])).json()["error"] == "invalid_grant"
    # Nobody is signed in any more, so nobody is asked.
    await page.goto(visit.at(leaving))
    await expect(page.get_by_text("the app")).to_be_visible(timeout=30_000)
    await page.goto(visit.at("/oauth/logout"))
    await expect(page.get_by_test_id("signed-out")).to_be_visible()
    await page.goto(visit.at("/account"))
    await expect(page.get_by_test_id("sign-in")).to_be_visible()
    await page.goto(visit.at(f"{leaving}&post_logout_redirect_uri=x"))
    await expect(page.get_by_test_id("oauth-error")).to_contain_text("You are not signed out here")


async def test_who_comes_to_take_a_consent_back_without_the_link_is_told_what_to_do(visit: Visit) -> None:
    """Not shown a button that can do nothing."""
    await visit.page.goto(visit.at("/withdraw"))
    await expect(visit.page.get_by_test_id("withdraw-no-link")).to_contain_text("Open the whole link")
    await expect(visit.page.get_by_test_id("withdraw")).to_have_count(0)
    await visit.judge()
    await visit.page.goto("about:blank")
    await visit.page.goto(visit.at(f"/withdraw#token={'A' * 43}"))
    await expect(visit.page.get_by_test_id("withdraw")).to_be_enabled()
