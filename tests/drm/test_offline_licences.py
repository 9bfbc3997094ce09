"""Licences that are kept for watching offline: who gets them, how they are counted, listed and revoked."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import grpc
import pytest
from reelmesh.drm.v1 import events_pb2, licences_pb2
from reelmesh.drm.v1 import licences_service_pb2 as api

from services.drm.keks import Keks
from services.drm.keystores.choice import chosen
from services.drm.licences.asked import Asked, Grant
from services.drm.licences.asking import Asking
from services.drm.licences.drain import Drain
from services.drm.licences.granting import Granting
from services.drm.licences.journal import Journal
from services.drm.licences.keyring import KeyRing
from services.drm.licences.knowledge import Knowledge
from services.drm.licences.policy import OFFLINE_RENTAL, Hdcp, LicencePolicy, SecurityLevel
from services.drm.vault import Vault
from services.kit.database import Database
from services.kit.dpop import Proofs
from services.kit.errors import Refusal
from services.kit.ids import new_id
from tests.drm.scene import Film, Keys
from tests.drm.test_licence_policy import update
from tests.policy.scene import refused


@dataclass(frozen=True)
class KeySystem:
    """A key system that can keep licences, played by the test: what it is granted it issues."""

    granting: Granting
    knowledge: Knowledge
    drain: Drain

    async def licence(self, film: Film, *, renewal_of: str = "") -> Grant:
        asked = Asked(
            ticket=film.ticket,
            package_id=film.package_id,
            key_ids=None,
            key_system="com.example.keeps",
            security_level=SecurityLevel.HARDWARE,
            hdcp=Hdcp.V2_2,
            offline=True,
            renewal_of=renewal_of,
        )
        grant = await self.granting.granted(asked)
        await self.granting.issued(grant)
        return grant

    async def drained(self) -> None:
        """Everything so far is in the database."""
        while await self.drain.once():
            pass


@contextlib.asynccontextmanager
async def a_key_system(keys: Keys) -> AsyncIterator[KeySystem]:
    scene, settings = keys.scene, keys.settings
    database = Database.of("drm", settings)
    vault = Vault(Keks(chosen(settings), 300, scene.clock))
    knowledge = Knowledge(database, scene.clock)
    await knowledge.catch_up()
    with tempfile.TemporaryDirectory() as folder:
        journal = Journal(Path(folder))
        drain = Drain(database, journal)
        granting = Granting(
            Asking(scene.as_drm),
            knowledge,
            KeyRing(database, vault, fresh_for=60, kept_for=60),
            journal,
            proofs=Proofs(scene.clock, settings.public_url),
            clock=scene.clock,
        )
        try:
            yield KeySystem(granting, knowledge, drain)
        finally:
            await drain.close()
            await journal.close()
            await database.close()


@pytest.fixture
async def system(keys: Keys) -> AsyncIterator[KeySystem]:
    """A key system of an organisation whose policy allows offline licences."""
    await update(keys, "offline", offline=True)
    async with a_key_system(keys) as system:
        yield system


async def download(keys: Keys, viewer_id: str = "ada") -> Film:
    """A film that its owner lets be kept, opened as a download."""
    film = await keys.film("AUDIO", "UHD1")
    await keys.scene.terms(film.asset_id, download_allowed=True)
    answer = await keys.scene.play(film.asset_id, viewer_id=viewer_id, download=True)
    ticket = answer.playback.licence_url.split("/")[4]
    return Film(film.package_id, film.asset_id, answer.session.session_id, ticket, film.keys)


async def refusal_of(system: KeySystem, film: Film) -> Refusal:
    with pytest.raises(Refusal) as caught:
        await system.licence(film)
    return caught.value


async def listed(keys: Keys, viewer_id: str = "") -> list[licences_pb2.OfflineLicence]:
    request = api.ListOfflineLicencesRequest(viewer_id=viewer_id)
    return list((await keys.licences.ListOfflineLicences(request)).licences)


async def test_it_outlasts_its_playback(keys: Keys, system: KeySystem) -> None:
    grant = await system.licence(await download(keys))
    assert grant.expire_time == keys.scene.clock.now() + OFFLINE_RENTAL
    assert grant.expire_time > grant.session_expire_time
    assert len(grant.keys) == 2
    assert (grant.viewer_id, grant.offline) == ("ada", True)


async def test_each_issue_is_counted_and_renewals_are_one_licence(keys: Keys, system: KeySystem) -> None:
    film = await download(keys)
    first = await system.licence(film)
    keys.scene.clock.advance(timedelta(hours=1))
    await system.licence(film, renewal_of=first.licence_id)
    await system.drained()
    (licence,) = await listed(keys)
    assert (licence.licence_id, licence.issue_count) == (first.licence_id, 2)
    assert licence.issue_time.ToDatetime() - licence.create_time.ToDatetime() == timedelta(hours=1)
    assert licence.expire_time.ToDatetime() == (keys.scene.clock.now() + OFFLINE_RENTAL).replace(tzinfo=None)
    request = api.ListLicencesRequest(session_id=film.session_id)
    issues = (await keys.licences.ListLicences(request)).licences
    assert [one.renewal_of for one in issues] == [first.licence_id, ""]
    assert all(one.offline and one.key_system == "com.example.keeps" for one in issues)


async def test_where_the_policy_says_nothing_none_is_given(keys: Keys) -> None:
    async with a_key_system(keys) as system:
        refusal = await refusal_of(system, await download(keys))
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.PERMISSION_DENIED, "OFFLINE_NOT_ALLOWED")
    assert refusal.metadata == {"by": "licence_policy"}


async def test_a_playback_that_is_no_download_gets_none(keys: Keys, system: KeySystem) -> None:
    refusal = await refusal_of(system, await keys.film())
    assert (refusal.reason, refusal.metadata["by"]) == ("OFFLINE_NOT_ALLOWED", "playback")


async def test_they_are_listed_by_viewer_page_by_page(keys: Keys, system: KeySystem) -> None:
    grants = [await system.licence(await download(keys, viewer)) for viewer in ("ada", "bob", "ada")]
    await system.drained()
    assert [one.licence_id for one in await listed(keys, viewer_id="ada")] == [
        grants[2].licence_id,
        grants[0].licence_id,
    ]
    request = api.ListOfflineLicencesRequest(page_size=2)
    page = await keys.licences.ListOfflineLicences(request)
    request.page_token = page.next_page_token
    rest = await keys.licences.ListOfflineLicences(request)
    assert [one.licence_id for one in (*page.licences, *rest.licences)] == [
        grant.licence_id for grant in reversed(grants)
    ]
    assert rest.next_page_token == ""


async def test_a_revoked_one_is_neither_renewed_nor_issued_again(keys: Keys, system: KeySystem) -> None:
    film, other = await download(keys), await download(keys)
    grant = await system.licence(film)
    await system.drained()
    request = api.RevokeOfflineLicenceRequest(licence_id=grant.licence_id)
    revoked = (await keys.licences.RevokeOfflineLicence(request)).licence
    assert revoked.HasField("revoke_time")
    assert (await keys.licences.RevokeOfflineLicence(request)).licence == revoked
    await system.knowledge.catch_up()  # as it does each second, and when it hears of it
    refusal = await refusal_of(system, film)
    assert (refusal.reason, refusal.metadata["licence_id"]) == ("LICENCE_REVOKED", grant.licence_id)
    await system.licence(other)
    told = await keys.scene.bus.hears(events_pb2.OfflineLicenceRevoked)
    assert (told.licence_id, told.viewer_id, told.session_id) == (grant.licence_id, "ada", film.session_id)
    assert (await refused(keys.licence(film))).reason == "LICENCE_REVOKED", "in the service's own process at once"


async def test_another_organisation_neither_sees_nor_revokes_it(
    keys: Keys, system: KeySystem, other_organisation_key: str
) -> None:
    grant = await system.licence(await download(keys))
    await system.drained()
    bearer = (("authorization", f"Bearer {other_organisation_key}"),)
    answer = await keys.licences.ListOfflineLicences(api.ListOfflineLicencesRequest(), metadata=bearer)
    assert not answer.licences
    request = api.RevokeOfflineLicenceRequest(licence_id=grant.licence_id)
    assert (await refused(keys.licences.RevokeOfflineLicence(request, metadata=bearer))).reason == "LICENCE_NOT_FOUND"


async def test_one_that_is_unknown_cannot_be_revoked(keys: Keys) -> None:
    request = api.RevokeOfflineLicenceRequest(licence_id=new_id("lic"))
    assert (await refused(keys.licences.RevokeOfflineLicence(request))).reason == "LICENCE_NOT_FOUND"


def test_a_policy_allows_none_unless_it_says_so() -> None:
    assert not LicencePolicy().offline
