"""Sign-in at an outside OpenID provider: who is let in, and what a provider or a stranger may try."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final
from urllib.parse import parse_qsl, urlsplit

import httpx
import pytest
from reelmesh.identity.v1 import accounts_service_pb2, events_pb2, identity_pb2, sso_pb2, sso_service_pb2_grpc
from reelmesh.identity.v1 import sso_service_pb2 as api

from gateway.oauth.fetching import Unreachable, check_url, permitted
from services.kit.ids import new_id
from services.kit.settings import ProcessSettings
from tests.identity.scene import Person, claims, refused
from tests.support.oauth import OAuthScene, an_oauth_scene, pkce
from tests.support.outside_provider import CLIENT_ID, SECRET, OutsideProvider, running_provider


@dataclass(frozen=True)
class Visit:
    """Everything a test needs: ours, theirs, and the provider as it is known to us."""

    scene: OAuthScene
    outside: OutsideProvider
    provider: sso_pb2.SsoProvider
    sso: Any

    async def arrives(self, challenge: str, link: str = "") -> dict[str, str]:
        """A browser goes to the provider and comes back. Returns the fragment that it lands with."""
        started = await self.start(challenge, link)
        assert started.status_code == 302, started.text
        if started.headers["location"].startswith(self.scene.issuer):
            return fragment(started)
        async with httpx.AsyncClient() as browser:
            there = await browser.get(started.headers["location"])
        return fragment(await self.comes_back(there.headers["location"]))

    async def start(self, challenge: str, link: str = "") -> httpx.Response:
        query = {"challenge": challenge} | ({"link": link} if link else {})
        return await self.scene.http.get(f"/sso/{self.provider.provider_id}/start", params=query)

    async def comes_back(self, location: str) -> httpx.Response:
        assert location.startswith(self.provider.redirect_uri)
        return await self.scene.http.get(location.removeprefix(self.scene.issuer))

    async def redeem(self, code: str, verifier: str) -> identity_pb2.Tokens:
        request = api.RedeemSignInRequest(request_id=new_id("req"), code=code, verifier=verifier)
        answer: api.RedeemSignInResponse = await self.sso.RedeemSignIn(request, metadata=self.scene.identity.outside)
        return answer.tokens

    async def signs_in(self) -> identity_pb2.Tokens:
        verifier, challenge = pkce()
        return await self.redeem((await self.arrives(challenge))["sign_in"], verifier)

    async def is_refused(self) -> str:
        """Why nobody is signed in."""
        verifier, challenge = pkce()
        landed = await self.arrives(challenge)
        if "refused" in landed:
            return landed["refused"]
        return (await refused(self.redeem(landed["sign_in"], verifier))).reason

    async def links(self, person: Person) -> str:
        """The person links their account. Returns why not; empty when it is done."""
        request = api.BeginIdentityLinkRequest(provider_id=self.provider.provider_id)
        code = (await self.sso.BeginIdentityLink(request, metadata=person.shown)).link_code
        verifier, challenge = pkce()
        landed = await self.arrives(challenge, code)
        ending = api.RedeemSignInRequest(request_id=new_id("req"), code=landed["sign_in"], verifier=verifier)
        call = self.sso.RedeemSignIn(ending, metadata=self.scene.identity.outside)
        if self.outside.claims.get("expect_refusal"):
            return (await refused(call)).reason
        assert not (await call).HasField("tokens")
        return ""


def fragment(response: httpx.Response) -> dict[str, str]:
    parts = urlsplit(response.headers["location"])
    assert (parts.path, parts.query) == ("/sso", "")
    return dict(parse_qsl(parts.fragment))


def wanted(issuer: str, **changed: Any) -> api.CreateSsoProviderRequest:
    fields: dict[str, Any] = {
        "request_id": new_id("req"),
        "display_name": "Acme",
        "issuer": issuer,
        "client_id": CLIENT_ID,
        "client_secret": SECRET,
        "email_domains": ["acme.example"],
        "provisioning": True,
        "role_ids": ["creator"],
    }
    return api.CreateSsoProviderRequest(**(fields | changed))


@pytest.fixture
async def visit(mesh: ProcessSettings) -> AsyncIterator[Visit]:
    async with running_provider() as outside, an_oauth_scene(mesh, sso_networks="loopback") as scene:
        outside.clock = scene.identity.clock
        sso = sso_service_pb2_grpc.SsoServiceStub(scene.identity.channel)
        made = await sso.CreateSsoProvider(wanted(outside.issuer), metadata=scene.identity.operator)
        yield Visit(scene, outside, made.provider, sso)


async def test_somebody_new_gets_an_account_with_the_providers_roles(visit: Visit) -> None:
    options = await visit.sso.ListSignInOptions(api.ListSignInOptionsRequest())
    assert [(one.provider_id, one.display_name) for one in options.options] == [(visit.provider.provider_id, "Acme")]
    tokens = await visit.signs_in()
    assert "assets.write" in tokens.permissions
    shown = (("authorization", f"Bearer {tokens.access_token}"),)
    account = (
        await visit.scene.identity.accounts.GetAccount(accounts_service_pb2.GetAccountRequest(), metadata=shown)
    ).account
    assert (account.email, account.display_name) == ("ada@acme.example", "Ada Acme")
    opened = await visit.scene.identity.bus.hears(events_pb2.SessionOpened)
    assert opened.method == identity_pb2.SIGN_IN_METHOD_SSO
    assert (await visit.signs_in()).account_id == tokens.account_id


async def test_a_person_is_known_by_the_providers_id_and_not_by_address(visit: Visit) -> None:
    first = await visit.signs_in()
    visit.outside.email = "ada.lovelace@acme.example"
    assert (await visit.signs_in()).account_id == first.account_id
    visit.outside.subject, visit.outside.email = "acme-2", "ada@acme.example"
    assert await visit.is_refused() == "SSO_ACCOUNT_UNLINKED"


async def test_an_address_does_not_open_an_account_that_is_there_already(visit: Visit) -> None:
    person = await visit.scene.identity.register("ada@acme.example")
    assert await visit.is_refused() == "SSO_ACCOUNT_UNLINKED"
    refusal = await visit.scene.identity.bus.hears(events_pb2.SignInRefused)
    assert (refusal.method, refusal.reason) == (identity_pb2.SIGN_IN_METHOD_SSO, "SSO_ACCOUNT_UNLINKED")
    assert await visit.links(person) == ""
    assert (await visit.signs_in()).account_id == person.account.account_id
    listed = await visit.sso.ListLinkedIdentities(api.ListLinkedIdentitiesRequest(), metadata=person.shown)
    assert [(one.provider_name, one.email) for one in listed.identities] == [("Acme", "ada@acme.example")]
    unlink = api.UnlinkIdentityRequest(provider_id=visit.provider.provider_id)
    await visit.sso.UnlinkIdentity(unlink, metadata=person.shown)
    assert await visit.is_refused() == "SSO_ACCOUNT_UNLINKED"


async def test_a_person_at_the_provider_is_linked_with_one_account_only(visit: Visit) -> None:
    one, other = await visit.scene.identity.register(), await visit.scene.identity.register()
    assert await visit.links(one) == ""
    visit.outside.claims["expect_refusal"] = True
    assert await visit.links(other) == "SSO_ACCOUNT_UNLINKED"


LIES: Final[Sequence[tuple[dict[str, Any], str]]] = [
    ({"email_verified": False}, "SSO_EMAIL_UNVERIFIED"),
    ({"email_verified": "false"}, "SSO_EMAIL_UNVERIFIED"),
    ({"email": ""}, "SSO_EMAIL_UNVERIFIED"),
    ({"email": "ada@evil.example"}, "SSO_ACCOUNT_UNKNOWN"),
    ({"email": "ada@acme.example.evil.example"}, "SSO_ACCOUNT_UNKNOWN"),
    ({"nonce": "another"}, "SSO_FAILED"),
    ({"nonce": ""}, "SSO_FAILED"),
    ({"aud": "another-client"}, "SSO_FAILED"),
    ({"aud": [CLIENT_ID, "another-client"]}, "SSO_FAILED"),
    ({"azp": "another-client"}, "SSO_FAILED"),
    ({"iss": "http://127.0.0.1:1"}, "SSO_FAILED"),
    ({"exp": 1}, "SSO_FAILED"),
    ({"iat": 4102444800}, "SSO_FAILED"),
    ({"sub": ""}, "SSO_FAILED"),
]


async def test_what_a_provider_must_not_say(visit: Visit) -> None:
    for lie, why in LIES:
        visit.outside.claims = lie
        assert await visit.is_refused() == why, lie


async def test_a_token_that_the_provider_did_not_sign_is_not_believed(visit: Visit) -> None:
    visit.outside.header = {"alg": "none"}
    assert await visit.is_refused() == "SSO_FAILED"
    visit.outside.header = {"alg": "HS256"}
    assert await visit.is_refused() == "SSO_FAILED"


async def test_a_new_key_of_the_provider_is_fetched(visit: Visit) -> None:
    first = await visit.signs_in()
    visit.outside.rotate()
    assert (await visit.signs_in()).account_id == first.account_id


async def test_a_person_who_says_no_at_the_provider_comes_back(visit: Visit) -> None:
    visit.outside.answer_error = "access_denied"
    assert await visit.is_refused() == "SSO_FAILED"


async def test_only_the_page_that_began_ends_a_sign_in(visit: Visit) -> None:
    verifier, challenge = pkce()
    code = (await visit.arrives(challenge))["sign_in"]
    assert (await refused(visit.redeem(code, pkce()[0]))).reason == "SSO_FAILED"
    assert (await visit.redeem(code, verifier)).access_token
    assert (await refused(visit.redeem(code, verifier))).reason == "SSO_FAILED"


async def test_a_code_for_the_page_is_good_for_a_minute(visit: Visit) -> None:
    verifier, challenge = pkce()
    code = (await visit.arrives(challenge))["sign_in"]
    visit.scene.identity.clock.advance(timedelta(minutes=1))
    assert (await refused(visit.redeem(code, verifier))).reason == "SSO_FAILED"


async def test_a_sign_in_comes_back_once(visit: Visit) -> None:
    _, challenge = pkce()
    started = await visit.start(challenge)
    async with httpx.AsyncClient() as browser:
        there = await browser.get(started.headers["location"])
        again = await browser.get(started.headers["location"])
    assert "sign_in" in fragment(await visit.comes_back(there.headers["location"]))
    assert fragment(await visit.comes_back(again.headers["location"])) == {"refused": "SSO_FAILED"}
    forged = f"{visit.provider.redirect_uri}?code=x&state={'y' * 43}"
    assert fragment(await visit.comes_back(forged)) == {"refused": "SSO_FAILED"}


async def test_a_link_code_is_good_once_and_for_who_asked(visit: Visit) -> None:
    person = await visit.scene.identity.register()
    request = api.BeginIdentityLinkRequest(provider_id=visit.provider.provider_id)
    code = (await visit.sso.BeginIdentityLink(request, metadata=person.shown)).link_code
    _, challenge = pkce()
    assert "sign_in" in await visit.arrives(challenge, code)
    assert (await visit.arrives(challenge, code)) == {"refused": "SSO_FAILED"}
    assert (await visit.arrives(challenge, "rml_" + "x" * 43)) == {"refused": "SSO_FAILED"}


async def test_without_provisioning_nobody_new_comes(visit: Visit) -> None:
    update = api.UpdateSsoProviderRequest(
        request_id=new_id("req"), provider=sso_pb2.SsoProvider(provider_id=visit.provider.provider_id)
    )
    update.update_mask.paths.append("provisioning")
    await visit.sso.UpdateSsoProvider(update, metadata=visit.scene.identity.operator)
    assert await visit.is_refused() == "SSO_ACCOUNT_UNKNOWN"


async def test_a_locked_account_stays_locked(visit: Visit) -> None:
    tokens = await visit.signs_in()
    lock = accounts_service_pb2.SetAccountLockRequest(account_id=tokens.account_id, locked=True)
    await visit.scene.identity.accounts.SetAccountLock(lock, metadata=visit.scene.identity.operator)
    assert await visit.is_refused() == "ACCOUNT_LOCKED"


async def test_a_removed_provider_lets_nobody_in(visit: Visit) -> None:
    await visit.signs_in()
    request = api.DeleteSsoProviderRequest(provider_id=visit.provider.provider_id)
    await visit.sso.DeleteSsoProvider(request, metadata=visit.scene.identity.operator)
    assert fragment(await visit.start(pkce()[1])) == {"refused": "SSO_PROVIDER_NOT_FOUND"}


async def test_a_sign_in_that_no_page_began_is_shown_and_not_followed(visit: Visit) -> None:
    for path in ("/sso/nothing/start?challenge=x", f"/sso/{visit.provider.provider_id}/start", "/sso/x/callback"):
        answer = await visit.scene.http.get(path)
        assert (answer.status_code, "location" in answer.headers) == (400, False)


async def test_a_providers_secret_is_sealed_and_never_shown(visit: Visit) -> None:
    operator = visit.scene.identity.operator
    listed = await visit.sso.ListSsoProviders(api.ListSsoProvidersRequest(), metadata=operator)
    assert SECRET not in str(listed)
    assert claims((await visit.signs_in()).access_token)["sub"]  # and yet it is known


NO_ISSUERS: Final = [
    "http://accounts.example",
    "ftp://accounts.example",
    "https://",
    "https://user@accounts.example",
    "https://accounts.example?x=1",
    "https://accounts.example#x",
    "file:///etc/passwd",
    "nonsense",
]


async def test_an_issuer_is_an_https_url(visit: Visit) -> None:
    for issuer in NO_ISSUERS:
        call = visit.sso.CreateSsoProvider(wanted(issuer), metadata=visit.scene.identity.operator)
        assert (await refused(call)).reason == "SSO_PROVIDER_INVALID", issuer


async def test_a_provider_on_this_machine_is_not_asked_unless_the_operator_says_so(mesh: ProcessSettings) -> None:
    async with running_provider() as outside, an_oauth_scene(mesh) as scene:
        sso = sso_service_pb2_grpc.SsoServiceStub(scene.identity.channel)
        plain = sso.CreateSsoProvider(wanted(outside.issuer), metadata=scene.identity.operator)
        assert (await refused(plain)).reason == "SSO_PROVIDER_INVALID"
        issuer = outside.issuer.replace("http://", "https://")
        made = await sso.CreateSsoProvider(wanted(issuer), metadata=scene.identity.operator)
        visit = Visit(scene, outside, made.provider, sso)
        assert fragment(await visit.start(pkce()[1])) == {"refused": "SSO_FAILED"}


@pytest.mark.parametrize(
    ("address", "least"),
    [
        ("93.184.216.34", "public"),
        ("2606:4700::1111", "public"),
        ("10.0.0.7", "private"),
        ("192.168.1.1", "private"),
        ("172.16.0.1", "private"),
        ("fd00::1", "private"),
        ("::ffff:10.0.0.7", "private"),
        ("127.0.0.1", "loopback"),
        ("::1", "loopback"),
        ("::ffff:127.0.0.1", "loopback"),
        ("169.254.169.254", "never"),
        ("fe80::1%eth0", "never"),
        ("0.0.0.0", "never"),
        ("224.0.0.1", "never"),
        ("::", "never"),
        ("nonsense", "never"),
    ],
)
def test_addresses_are_asked_where_the_operator_allows_it(address: str, least: str) -> None:
    ranks = {"public": 0, "private": 1, "loopback": 2, "never": 3}
    for networks in ("public", "private", "loopback"):
        assert permitted(address, networks) == (ranks[networks] >= ranks[least]), networks


def test_only_https_is_asked() -> None:
    for url in ("http://a.example", "https://u@a.example", "file:///etc/passwd", "gopher://a", "https://a.example:x"):
        with pytest.raises(Unreachable):
            check_url(url, "private")
