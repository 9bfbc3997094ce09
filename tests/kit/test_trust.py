"""How every service recognises people and API keys: by what the identity service tells, without asking it for each call."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import dataclasses
import hmac
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import grpc
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_public_key
from reelmesh.assets.v1 import assets_service_pb2, assets_service_pb2_grpc
from reelmesh.identity.v1 import (
    accounts_service_pb2_grpc,
    api_keys_service_pb2,
    organisations_service_pb2,
    signing_keys_service_pb2,
    signing_keys_service_pb2_grpc,
)
from reelmesh.rpc.v1 import trust_service_pb2, trust_service_pb2_grpc

from services.assets import __main__ as assets
from services.identity import __main__ as identity
from services.identity.trust.signing import ANNOUNCED_FOR, IDENTITY_KEY_FILE, LIFETIME, ROTATED_AFTER, Signer
from services.kit.clock import FixedClock, SystemClock
from services.kit.database import Database
from services.kit.sealing import Seal
from services.kit.settings import ProcessSettings
from tests.identity.organisation import Home, Shown, bearing
from tests.identity.scene import CHEAP, Scene, refused
from tests.support.bus import on_the_bus
from tests.support.keys import organisation_of_operator
from tests.support.running import connected, running

if TYPE_CHECKING:
    Assets = assets_service_pb2_grpc.AssetsServiceAsyncStub
    SigningKeys = signing_keys_service_pb2_grpc.SigningKeysServiceAsyncStub

WITHIN = 30.0
"""Seconds that a busy machine may take. The services' clock stands still meanwhile, so that nothing ends by itself: what is refused was
told of."""


async def refused_within(call: Callable[[], Awaitable[object]]) -> None:
    """Waits until a call is refused."""
    async with asyncio.timeout(WITHIN):
        while True:
            try:
                await call()
            except grpc.aio.AioRpcError:
                break
            await asyncio.sleep(0.01)
    assert (await refused(call())).reason == "CREDENTIAL_INVALID"


@dataclass
class Mesh:
    """The identity service, which can go away, and a service that recognises callers by it."""

    home: Home
    settings: identity.IdentitySettings
    clock: FixedClock
    assets: Assets
    rotating: SigningKeys
    life: contextlib.AsyncExitStack

    async def go_away(self) -> None:
        await self.life.aclose()

    async def come_back(self) -> None:
        await self.life.enter_async_context(running("identity", self.settings, identity.wire, clock=self.clock))

    async def list_assets(self, shown: Shown) -> assets_service_pb2.ListAssetsResponse:
        """A call to the other service."""
        return await self.assets.ListAssets(assets_service_pb2.ListAssetsRequest(), metadata=shown)

    async def rotate(self) -> str:
        request = signing_keys_service_pb2.RotateSigningKeyRequest()
        return (await self.rotating.RotateSigningKey(request, metadata=self.home.scene.operator)).key_id

    async def refused_soon(self, shown: Shown) -> None:
        """Waits until the other service refuses a credential."""
        await refused_within(lambda: self.list_assets(shown))

    @contextlib.asynccontextmanager
    async def signer(self) -> AsyncIterator[tuple[Database, Signer]]:
        """What another replica of the identity service knows of the keys."""
        database = Database.of("identity", self.settings)
        signer = Signer(Seal(self.settings.secret(IDENTITY_KEY_FILE), "identity"), self.clock, self.settings.public_url)
        try:
            async with database.transaction() as tx:
                await signer.refresh(tx)
            yield database, signer
        finally:
            await database.close()


@pytest.fixture
async def two(mesh: ProcessSettings) -> AsyncIterator[Mesh]:
    settings = identity.IdentitySettings(**{**mesh.model_dump(), **CHEAP})
    assets_settings = assets.AssetsSettings(**mesh.model_dump())
    clock = FixedClock(SystemClock().now())
    life = contextlib.AsyncExitStack()
    await life.enter_async_context(running("identity", settings, identity.wire, clock=clock))
    async with (
        on_the_bus(settings) as bus,
        running("assets", assets_settings, assets.wire, clock=clock),
        connected(settings, "identity", key="") as to_identity,
        connected(settings, "identity", key="", caller="policy") as trusted,
        connected(settings, "assets", key="") as to_assets,
    ):
        scene = Scene(
            settings,
            to_identity,
            accounts_service_pb2_grpc.AccountsServiceStub(to_identity),
            trust_service_pb2_grpc.TrustServiceStub(trusted),
            bus,
            clock,
            organisation_of_operator(settings),
        )
        try:
            yield Mesh(
                Home(scene),
                settings,
                clock,
                assets_service_pb2_grpc.AssetsServiceStub(to_assets),
                signing_keys_service_pb2_grpc.SigningKeysServiceStub(to_identity),
                life,
            )
        finally:
            await life.aclose()


async def test_an_api_key_is_recognised_elsewhere_and_refused_when_its_end_is_told(two: Mesh) -> None:
    made = await two.home.key("assets.read")
    key = bearing(made.secret)
    await two.list_assets(key)
    revoke = api_keys_service_pb2.RevokeApiKeyRequest(key_id=made.api_key.key_id)
    await two.home.keys.RevokeApiKey(revoke, metadata=two.home.scene.operator)
    await two.refused_soon(key)
    weak = await two.home.key("uploads.read")
    assert (await refused(two.list_assets(bearing(weak.secret)))).reason == "PERMISSION_MISSING"


async def test_what_one_replica_revokes_is_refused_by_those_who_listen_to_another(two: Mesh) -> None:
    made, person = await two.home.key("assets.read"), await two.home.somebody("creator")
    listen = f"unix:{two.settings.run_dir}/identity-second.sock"
    settings = two.settings.model_copy(update={"listen": listen})
    there = settings.model_copy(update={"peers": {"identity": listen}})
    async with (
        running("identity", settings, identity.wire, clock=two.clock),
        connected(there, "identity", key="") as channel,
    ):
        second = Home(dataclasses.replace(two.home.scene, channel=channel))
        # Each recognises what the other made.
        await second.calls.GetOrganisation(organisations_service_pb2.GetOrganisationRequest(), metadata=person.shown)
        for shown in (bearing(made.secret), person.shown):
            await two.list_assets(shown)
        revoke = api_keys_service_pb2.RevokeApiKeyRequest(key_id=made.api_key.key_id)
        await second.keys.RevokeApiKey(revoke, metadata=two.home.scene.operator)
        await two.refused_soon(bearing(made.secret))
        await second.set_roles(person, "viewer")
        await two.refused_soon(person.shown)


async def test_a_key_is_revoked_even_where_the_clock_is_ahead(two: Mesh) -> None:
    """What is known of a key is dated by the server that asked, its end by the identity service."""
    made = await two.home.key("assets.read")
    async with running_ahead(two, timedelta(seconds=30)) as ahead:

        async def asked() -> object:
            return await ahead.ListAssets(assets_service_pb2.ListAssetsRequest(), metadata=bearing(made.secret))

        await asked()
        revoke = api_keys_service_pb2.RevokeApiKeyRequest(key_id=made.api_key.key_id)
        await two.home.keys.RevokeApiKey(revoke, metadata=two.home.scene.operator)
        await refused_within(asked)


@contextlib.asynccontextmanager
async def running_ahead(two: Mesh, by: timedelta) -> AsyncIterator[Assets]:
    """A second replica of the other service, whose clock is ahead."""
    settings = assets.AssetsSettings(
        **{**two.settings.model_dump(), "listen": f"unix:{two.settings.run_dir}/assets-ahead.sock"}
    )
    clock = FixedClock(two.clock.now() + by)
    there = settings.model_copy(update={"peers": {"assets": settings.listen}})
    async with (
        running("assets", settings, assets.wire, clock=clock),
        connected(there, "assets", key="") as channel,
    ):
        yield assets_service_pb2_grpc.AssetsServiceStub(channel)


async def test_a_person_is_recognised_elsewhere_until_the_session_ends(two: Mesh) -> None:
    person = await two.home.somebody("creator")
    await two.list_assets(person.shown)
    await two.home.set_roles(person, "reviewer")
    await two.refused_soon(person.shown)
    again = await two.home.again(person)
    await two.list_assets(again.shown)
    await two.home.remove(again)
    await two.refused_soon(again.shown)


async def test_what_was_seen_goes_on_while_the_identity_service_is_away(two: Mesh) -> None:
    person, made = await two.home.somebody("creator"), await two.home.key("assets.read")
    never_seen = await two.home.key("assets.read")
    await two.list_assets(bearing(made.secret))
    await two.list_assets(person.shown)
    await two.go_away()
    # A token is checked without asking anybody; a key that was seen is good for a minute.
    await two.list_assets(bearing(made.secret))
    await two.list_assets(person.shown)
    away = await refused(two.list_assets(bearing(never_seen.secret)))
    assert (away.code, away.reason) == (grpc.StatusCode.UNAVAILABLE, "DEPENDENCY_UNAVAILABLE")
    assert away.retry_after == timedelta(seconds=1)
    two.clock.advance(timedelta(minutes=1))
    away = await refused(two.list_assets(bearing(made.secret)))
    assert (away.code, away.retry_after) == (grpc.StatusCode.UNAVAILABLE, timedelta(seconds=1))
    await two.come_back()
    async with asyncio.timeout(60):
        while True:
            with contextlib.suppress(grpc.aio.AioRpcError):
                await two.list_assets(bearing(never_seen.secret))
                break
            await asyncio.sleep(0.05)
    await two.list_assets(bearing(made.secret))
    await two.home.set_roles(person, "viewer")
    await two.refused_soon(person.shown)


async def test_who_asks_before_anything_is_known_is_told_to_come_back(two: Mesh) -> None:
    person, made = await two.home.somebody("creator"), await two.home.key("assets.read")
    await two.go_away()
    for shown in (person.shown, bearing(made.secret)):
        away = await refused(two.list_assets(shown))
        assert (away.code, away.reason) == (grpc.StatusCode.UNAVAILABLE, "DEPENDENCY_UNAVAILABLE")
        assert away.retry_after == timedelta(seconds=1)


async def test_an_unknown_key_is_refused(two: Mesh) -> None:
    for _ in range(2):  # the second time without asking
        refusal = await refused(two.list_assets(bearing("rmk_" + "x" * 43)))
        assert refusal.reason == "CREDENTIAL_INVALID"


async def test_nobody_is_refused_over_a_rotation_and_old_keys_vanish(two: Mesh) -> None:
    async def known() -> list[str]:
        call = two.home.scene.trust.WatchTrust(trust_service_pb2.WatchTrustRequest())
        try:
            return [key.key_id for key in (await anext(aiter(call))).signing_keys]
        finally:
            call.cancel()

    def key_of(token: str) -> str:
        return str(jwt.get_unverified_header(token)["kid"])

    person = await two.home.somebody("creator")
    await two.list_assets(person.shown)
    first = key_of(person.tokens.access_token)
    second = await two.rotate()
    assert await two.rotate() == second, "there is a next key already"
    assert await known() == [first, second]
    await two.list_assets(person.shown)
    two.clock.advance(ANNOUNCED_FOR - timedelta(seconds=1))
    last = await two.home.again(person)
    assert key_of(last.tokens.access_token) == first
    two.clock.advance(timedelta(seconds=1))
    newer = await two.home.again(person)
    assert key_of(newer.tokens.access_token) == second
    for one in (last, newer):
        await two.list_assets(one.shown)
    two.clock.advance(LIFETIME - timedelta(seconds=2))
    await two.list_assets(last.shown)
    await two.list_assets(newer.shown)
    two.clock.advance(timedelta(minutes=10))
    third = await two.rotate()
    assert await known() == [second, third]
    assert (await refused(two.list_assets(last.shown))).reason == "CREDENTIAL_INVALID"
    await two.list_assets((await two.home.again(person)).shown)


async def test_replicas_that_rotate_at_once_make_one_key(two: Mesh) -> None:
    async with two.signer() as (database, one), two.signer() as (_, other):

        async def rotated(signer: Signer) -> str:
            async with database.transaction() as tx:
                return (await signer.rotate(tx))[0]

        asked = await asyncio.gather(rotated(one), rotated(other), two.rotate())
        assert len(set(asked)) == 1

        async def refreshed(signer: Signer) -> None:
            async with database.transaction() as tx:
                await signer.refresh(tx)

        two.clock.advance(ROTATED_AFTER)
        await asyncio.gather(refreshed(one), refreshed(other))
        # The one that signs and the next; the first has vanished.
        assert len(one.keys) == 2
        await asyncio.gather(refreshed(one), refreshed(other))
        assert [key.key_id for key in one.keys] == [key.key_id for key in other.keys]


def _encoded(part: dict[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=")


def _confused(claims: dict[str, Any], header: dict[str, Any], secret: bytes) -> str:
    """By hand: PyJWT itself refuses to make such a token."""
    signed = f"{_encoded({**header, 'alg': 'HS256'})}.{_encoded(claims)}"
    signature = hmac.digest(secret, signed.encode(), "sha256")
    return f"{signed}.{base64.urlsafe_b64encode(signature).decode().rstrip('=')}"


def _forgeries(signer: Signer, claims: dict[str, Any]) -> dict[str, str]:
    key = signer.keys[-1]
    header = {"kid": key.key_id, "typ": "at+jwt"}
    now = float(claims["iat"])
    pem = load_der_public_key(key.public_key).public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)

    def signed(header: dict[str, Any], **changed: Any) -> str:
        whole = {name: value for name, value in {**claims, **changed}.items() if value is not None}
        return jwt.encode(whole, key.private, algorithm="ES256", headers=header)

    stranger = ec.generate_private_key(ec.SECP256R1())
    return {
        "no signature": jwt.encode(claims, "", algorithm="none", headers=header),
        "no signature at all": signed(header).rpartition(".")[0] + ".",
        "the public key in PEM as an HMAC secret": _confused(claims, header, pem),
        "the public key in DER as an HMAC secret": _confused(claims, header, key.public_key),
        "another key": jwt.encode(claims, stranger, algorithm="ES256", headers=header),
        "an unknown key id": signed({**header, "kid": "sgk_unknown"}),
        "no key id": signed({"typ": "at+jwt"}),
        "a key of its own in the header": jwt.encode(
            claims,
            stranger,
            algorithm="ES256",
            headers={"typ": "at+jwt", "jwk": json.loads(jwt.algorithms.ECAlgorithm.to_jwk(stranger.public_key()))},
        ),
        "another kind of token": signed({**header, "typ": "JWT"}),
        "another audience": signed(header, aud="reelmesh-services"),
        "no audience": signed(header, aud=None),
        "another issuer": signed(header, iss="https://elsewhere.example"),
        "no issuer": signed(header, iss=None),
        "expired": signed(header, exp=now - 1),
        "no expiry": signed(header, exp=None),
        "from the future": signed(header, iat=now + 120),
        "no moment of issue": signed(header, iat=None),
        "no session": signed(header, sid=None),
        "no subject": signed(header, sub=None),
        "an expiry that is no number": signed(header, exp="tomorrow"),
    }


async def test_forged_expired_and_future_tokens_are_refused(two: Mesh) -> None:
    person = await two.home.somebody("creator")
    claims = dict(jwt.decode(person.tokens.access_token, options={"verify_signature": False}))
    async with two.signer() as (_, signer):
        key = signer.keys[-1]
        header = {"kid": key.key_id, "typ": "at+jwt"}
        # The same by our own hand is good, so it is the one difference that each of the others is refused for.
        await two.list_assets(bearing(jwt.encode(claims, key.private, algorithm="ES256", headers=header)))
        await two.list_assets(
            bearing(jwt.encode({**claims, "iat": claims["iat"] + 30}, key.private, algorithm="ES256", headers=header))
        )
        for kind, token in _forgeries(signer, claims).items():
            for ask in _both(two):
                refusal = await refused(ask(bearing(token)))
                assert (refusal.code, refusal.reason) == (
                    grpc.StatusCode.UNAUTHENTICATED,
                    "CREDENTIAL_INVALID",
                ), kind
                assert token not in refusal.message


def _both(two: Mesh) -> list[Callable[[Shown], Any]]:
    """A call to the other service, and one to the identity service itself."""
    return [
        two.list_assets,
        lambda shown: two.home.calls.GetOrganisation(
            organisations_service_pb2.GetOrganisationRequest(), metadata=shown
        ),
    ]


async def test_the_identity_service_stops_although_everybody_listens(two: Mesh) -> None:
    made = await two.home.key("assets.read")
    await two.list_assets(bearing(made.secret))
    began = time.monotonic()
    await two.go_away()
    # The drain would last this long if it waited for the streams of those who listen.
    assert time.monotonic() - began < two.settings.drain_timeout.total_seconds()
