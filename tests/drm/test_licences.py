"""DrmService and PolicyService together, on the real stores."""

from __future__ import annotations

import asyncio
import base64
import json
import secrets
import uuid
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import asyncpg
import grpc
import pytest
from google.protobuf import json_format
from reelmesh.drm.v1 import drm_service_pb2 as api
from reelmesh.drm.v1 import drm_service_pb2_grpc, events_pb2

from services.drm.__main__ import CONTRACT
from services.drm.domain import ContentKey, key_id_of, kid_of
from services.drm.keystores.root_files import write
from services.drm.licences import clearkey
from services.kit.errors import Refusal
from services.kit.ids import new_id
from tests.drm.scene import Keys, with_keys
from tests.policy.scene import Scene, refused
from tests.support.running import connected
from tests.support.stores import operator_key

VECTORS = Path(__file__).resolve().parents[3] / "shared/vectors/clearkey/spec-examples.json"


def as_json(message: Any) -> dict[str, Any]:
    """What a browser gets: the form in which Envoy's transcoder writes a message."""
    return json_format.MessageToDict(message, preserving_proto_field_name=True)


async def sql(keys: Keys, statement: str, *values: object) -> list[Any]:
    connection = await asyncpg.connect(
        host=keys.settings.database_host, user="drm", database=keys.settings.database_name
    )
    try:
        return list(await connection.fetch(statement, *values))
    finally:
        await connection.close()


@pytest.fixture
def vectors() -> dict[str, Any]:
    if not VECTORS.exists():
        pytest.skip("the shared vectors are not here")
    return dict(json.loads(VECTORS.read_text()))


class TestTheFormOfALicence:
    def test_the_request_of_the_specification_is_understood(self, vectors: dict[str, Any]) -> None:
        request = clearkey.read(json.dumps(vectors["request"]).encode())
        assert [kid_of(key_id) for key_id in request.key_ids] == vectors["request"]["kids"]

    def test_the_licence_of_the_specification_is_ours_to_the_letter(self, vectors: dict[str, Any]) -> None:
        (jwk,) = vectors["license"]["keys"]
        key = ContentKey("HD", key_id_of(jwk["kid"]), base64.urlsafe_b64decode(jwk["k"] + "=="), bytes(16))
        assert json.loads(clearkey.written([key])) == vectors["license"]

    @pytest.mark.parametrize(
        "kid",
        [
            "",
            "LwVHf8JLtPrv2GUXFW2v_A==",
            "LwVHf8JLtPrv2GUXFW2v_",
            "LwVHf8JLtPrv2GUXFW2v_AA",
            "LwVHf8JLtPrv2GUXFW2v/A",
            "LwVHf8JLtPrv2GUXFW2v_B",
            "LwVHf8JLtPrv2GUXFW2v A",
            "2f05477fc24bb4faefd86517156daffc",
            "é" * 22,
        ],
    )
    def test_a_key_id_in_any_other_form_is_refused(self, kid: str) -> None:
        with pytest.raises(Refusal) as caught:
            key_id_of(kid)
        assert (caught.value.code, caught.value.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "KEY_ID_MALFORMED")
        assert caught.value.metadata == {"kid": kid}


class TestMakingKeys:
    async def test_each_label_gets_a_key_of_its_own_in_the_order_asked(self, keys: Keys) -> None:
        made = await keys.make(new_id("pkg"), "HD", "AUDIO", "SD")
        assert [key.label for key in made] == ["HD", "AUDIO", "SD"]
        assert len({key.key for key in made}) == len({key.key_id for key in made}) == len({key.iv for key in made}) == 3
        assert {(len(key.key), len(key.iv)) for key in made} == {(16, 16)}
        assert {uuid.UUID(bytes=key.key_id).version for key in made} == {4}

    async def test_asking_again_gives_the_same_keys(self, keys: Keys) -> None:
        package_id = new_id("pkg")
        first = await keys.make(package_id, "AUDIO", "HD")
        second = await keys.make(package_id, "UHD1", "HD", "AUDIO")
        assert [first[1], first[0]] == list(second[1:])

    async def test_twenty_at_once_get_the_same_keys(self, keys: Keys) -> None:
        """Also when they are the organisation's first, and ask in different orders."""
        package_id, labels = new_id("pkg"), ["AUDIO", "SD", "HD", "UHD1"]
        orders = [labels[number % 4 :] + labels[: number % 4] for number in range(20)]
        answers = await asyncio.gather(*(keys.make(package_id, *order) for order in orders))
        assert (
            len({tuple(sorted((key.label, key.key_id, key.key, key.iv) for key in answer)) for answer in answers}) == 1
        )
        assert len(await sql(keys, "SELECT 1 FROM key_encryption_keys")) == 1

    async def test_other_packages_have_other_keys(self, keys: Keys) -> None:
        (one,), (other,) = await keys.make(new_id("pkg"), "HD"), await keys.make(new_id("pkg"), "HD")
        assert one.key != other.key
        assert one.key_id != other.key_id

    async def test_each_organisation_has_a_key_encryption_key_of_its_own(self, keys: Keys) -> None:
        await keys.make(new_id("pkg"), "HD")
        await keys.make(new_id("pkg"), "HD")
        await keys.make(new_id("pkg"), "HD", organisation_id=new_id("org"))
        assert len(await sql(keys, "SELECT DISTINCT kek_id FROM content_keys")) == 2

    async def test_another_organisation_does_not_get_a_packages_keys(self, keys: Keys) -> None:
        package_id = new_id("pkg")
        await keys.make(package_id, "HD")
        refusal = await refused(keys.make(package_id, "HD", organisation_id=new_id("org")))
        assert refusal.reason == "KEY_NOT_FOUND"

    async def test_nothing_stored_shows_a_key(self, keys: Keys) -> None:
        made = await keys.make(new_id("pkg"), "AUDIO", "HD")
        rows = await sql(keys, "SELECT * FROM content_keys")
        stored = b"".join(value for row in rows for value in row.values() if isinstance(value, bytes))
        for key in made:
            assert key.key_id in stored
            assert key.key not in stored
            assert key.iv not in stored
        (kek,) = await sql(keys, "SELECT wrapped FROM key_encryption_keys")
        assert len(kek["wrapped"]) == 40, "256 bits and the integrity check of RFC 3394"

    @pytest.mark.parametrize("labels", [(), ("hd",), ("HD", "HD"), ("A" * 33,), ("A|B",)])
    async def test_labels_of_another_form_are_refused(self, keys: Keys, labels: tuple[str, ...]) -> None:
        assert (await refused(keys.make(new_id("pkg"), *labels))).reason == "REQUEST_INVALID"

    async def test_people_may_not_ask(self, keys: Keys) -> None:
        async with connected(keys.settings, "drm", CONTRACT, key=operator_key(keys.settings)) as channel:
            request = api.CreateContentKeysRequest(
                organisation_id=keys.scene.organisation_id, package_id=new_id("pkg"), labels=["HD"]
            )
            refusal = await refused(drm_service_pb2_grpc.DrmServiceStub(channel).CreateContentKeys(request))
            assert (refusal.reason, refusal.metadata["callers"]) == ("PERMISSION_MISSING", "packaging")
        assert (await refused(keys.player.CreateContentKeys(request))).reason == "PERMISSION_MISSING"


class TestWhatWasTamperedWith:
    async def test_another_root_key_leaves_everything_locked(self, scene: Scene) -> None:
        async with with_keys(scene) as keys:
            film = await keys.film()
            await keys.licence(film)
        folder = scene.settings.secrets_dir.parent / "other-secrets"
        folder.mkdir(exist_ok=True)
        for name in ("api_keys.json", "operator_api_key"):
            (folder / name).write_bytes((scene.settings.secrets_dir / name).read_bytes())
        write(folder / "root_key", secrets.token_bytes(32))
        async with with_keys(scene, secrets_dir=folder, tls_dir=scene.settings.secrets_dir / "tls") as keys:
            (kek,) = await sql(keys, "SELECT kek_id FROM key_encryption_keys")
            calls: list[Callable[[], Awaitable[object]]] = [
                lambda: keys.licence(film),
                lambda: keys.make(film.package_id, "HD"),
                lambda: keys.make(new_id("pkg"), "HD"),
            ]
            for call in calls:
                refusal = await refused(call())
                assert (refusal.code.name, refusal.reason) == ("FAILED_PRECONDITION", "KEYSTORE_LOCKED")
                assert refusal.metadata["kek_id"] == kek["kek_id"]
                assert "root key" in refusal.message
        async with with_keys(scene) as keys:
            assert len((await keys.licence(film)).keys) == 2, "nothing was lost"

    async def test_a_row_that_was_given_anothers_secret_does_not_open(self, keys: Keys) -> None:
        """Who can write to the database still cannot make a cheap film's key out of an expensive one's."""
        cheap, dear = await keys.film("HD"), await keys.film("HD")
        await sql(
            keys,
            "UPDATE content_keys SET sealed = (SELECT sealed FROM content_keys WHERE package_id = $1) WHERE package_id = $2",
            dear.package_id,
            cheap.package_id,
        )
        assert (await refused(keys.licence(cheap))).reason == "KEYSTORE_LOCKED"
        assert len((await keys.licence(dear)).keys) == 1

    async def test_a_row_that_was_moved_to_another_package_is_not_given(self, keys: Keys) -> None:
        cheap, dear = await keys.film("HD"), await keys.film("HD")
        await sql(
            keys,
            "UPDATE content_keys SET package_id = $1, label = 'X' WHERE package_id = $2",
            cheap.package_id,
            dear.package_id,
        )
        refusal = await refused(keys.licence(cheap, kid_of(dear.keys[0].key_id)))
        assert refusal.reason == "KEY_NOT_ENTITLED"

    @pytest.mark.parametrize("change", ["version = version + 1", "organisation_id = organisation_id || 'x'"])
    async def test_a_row_that_says_something_else_of_itself_does_not_open(self, keys: Keys, change: str) -> None:
        film = await keys.film("HD")
        await sql(keys, f"UPDATE content_keys SET {change}")
        assert (await refused(keys.licence(film))).reason == "KEYSTORE_LOCKED"


class TestLicences:
    async def test_an_entitled_player_gets_the_keys_in_the_form_of_the_specification(self, keys: Keys) -> None:
        film = await keys.film("AUDIO", "HD")
        licence = await keys.licence(film, type="temporary")
        expected = [{"kty": "oct", "kid": kid_of(key.key_id), "k": kid_of(key.key)} for key in film.keys]
        assert (as_json(licence)["keys"], licence.type) == (expected, "temporary")
        issued = await keys.scene.bus.hears(events_pb2.LicenceIssued)
        assert (issued.session_id, issued.package_id) == (film.session_id, film.package_id)
        assert (list(issued.key_ids), issued.key_system) == ([key.key_id.hex() for key in film.keys], "org.w3.clearkey")
        assert not any(key.key in issued.SerializeToString() for key in film.keys)

    async def test_only_what_was_asked_for_is_given_once_each(self, keys: Keys) -> None:
        film = await keys.film("AUDIO", "SD", "HD")
        hd, audio = kid_of(film.keys[2].key_id), kid_of(film.keys[0].key_id)
        assert [jwk.kid for jwk in (await keys.licence(film, hd, audio, hd)).keys] == [hd, audio]

    async def test_keys_that_the_session_may_not_have_are_left_out(self, keys: Keys) -> None:
        film = await keys.film("AUDIO", "HD", "UHD1", hidden=["UHD1"])
        unknown = kid_of(uuid.uuid4().bytes)
        kids = [kid_of(key.key_id) for key in film.keys]
        assert [jwk.kid for jwk in (await keys.licence(film, unknown, *kids)).keys] == kids[:2]

    async def test_without_entitlement_the_policys_own_refusal_comes_through(self, keys: Keys) -> None:
        film = await keys.film("AUDIO", "UHD1", hidden=["UHD1"])
        refusal = await refused(keys.licence(film, kid_of(film.keys[1].key_id)))
        assert (refusal.code.name, refusal.reason, refusal.domain) == (
            "PERMISSION_DENIED",
            "KEY_NOT_ENTITLED",
            "policy.reelmesh",
        )
        assert refusal.metadata["key_id"] == film.keys[1].key_id.hex()

    async def test_keys_of_another_film_and_of_none_are_refused_alike(self, keys: Keys) -> None:
        """A ticket for one film does not tell which keys others have."""
        film, other = await keys.film(), await keys.film()
        for key_id in (other.keys[0].key_id, uuid.uuid4().bytes):
            assert (await refused(keys.licence(film, kid_of(key_id)))).reason == "KEY_NOT_ENTITLED"
            assert (await refused(keys.hls_key(film, key_id.hex()))).reason == "KEY_NOT_ENTITLED"

    async def test_a_key_that_was_lost_is_not_found(self, keys: Keys) -> None:
        """As after a backup of one service was restored without the other's."""
        film = await keys.film("HD")
        await sql(keys, "DELETE FROM content_keys")
        refusal = await refused(keys.licence(film))
        assert (refusal.code.name, refusal.reason, refusal.domain) == ("NOT_FOUND", "KEY_NOT_FOUND", "drm.reelmesh")
        assert refusal.metadata["package_id"] == film.package_id

    async def test_a_ticket_that_is_not_good_learns_nothing_of_keys(self, keys: Keys) -> None:
        film, other = await keys.film(), await keys.film()
        kids = [kid_of(film.keys[0].key_id), kid_of(uuid.uuid4().bytes)]
        for kid in kids:
            assert (await refused(keys.licence(film, kid, ticket="a.b.c"))).reason == "TICKET_INVALID"
            assert (await refused(keys.licence(film, kid, ticket=other.ticket))).reason == "TICKET_OTHER_PACKAGE"

    async def test_a_revoked_session_gets_no_more_licences(self, keys: Keys) -> None:
        film = await keys.film()
        await keys.licence(film)
        await keys.scene.revoke(film.session_id)
        refusal = await refused(keys.licence(film))
        assert (refusal.reason, refusal.domain) == ("SESSION_REVOKED", "policy.reelmesh")
        assert (await refused(keys.hls_key(film, film.keys[0].key_id.hex()))).reason == "SESSION_REVOKED"

    async def test_an_expired_ticket_gets_no_more_licences(self, keys: Keys) -> None:
        film = await keys.film()
        keys.scene.clock.advance(timedelta(hours=7))
        assert (await refused(keys.licence(film))).reason == "TICKET_EXPIRED"

    async def test_a_malformed_key_id_is_refused(self, keys: Keys) -> None:
        film = await keys.film()
        refusal = await refused(keys.licence(film, film.keys[0].key_id.hex()))
        assert (refusal.code.name, refusal.reason) == ("INVALID_ARGUMENT", "KEY_ID_MALFORMED")

    async def test_persistent_licences_are_not_offered(self, keys: Keys) -> None:
        film = await keys.film()
        refusal = await refused(keys.licence(film, type="persistent-license"))
        assert (refusal.reason, refusal.fields[0][0]) == ("REQUEST_INVALID", "type")

    async def test_a_refused_licence_is_not_announced(self, keys: Keys) -> None:
        film = await keys.film("AUDIO", "UHD1", hidden=["UHD1"])
        await refused(keys.licence(film, kid_of(film.keys[1].key_id)))
        await keys.licence(film, kid_of(film.keys[0].key_id))
        await keys.scene.bus.hears(events_pb2.LicenceIssued)
        assert len(keys.scene.bus.heard(events_pb2.LicenceIssued)) == 1

    async def test_while_the_policy_service_is_away_there_are_no_licences(self, scene: Scene) -> None:
        async with with_keys(scene) as keys:
            film = await keys.film()
        nowhere = f"unix:{scene.settings.run_dir}/nobody.sock"
        async with with_keys(scene, peers={"policy": nowhere}) as keys:
            refusal = await refused(keys.licence(film))
            assert (refusal.code.name, refusal.reason) == ("UNAVAILABLE", "DEPENDENCY_UNAVAILABLE")


class TestHlsKeys:
    async def test_a_key_is_sixteen_raw_bytes(self, keys: Keys) -> None:
        film = await keys.film()
        request = api.GetHlsKeyRequest(ticket=film.ticket, package_id=film.package_id, key_id=film.keys[1].key_id.hex())
        answer = await keys.player.GetHlsKey(request)
        assert (answer.key.data, answer.key.content_type) == (film.keys[1].key, "application/octet-stream")
        issued = await keys.scene.bus.hears(events_pb2.LicenceIssued)
        assert (list(issued.key_ids), issued.key_system) == ([film.keys[1].key_id.hex()], "hls.identity")

    async def test_a_key_that_the_session_may_not_have_is_refused(self, keys: Keys) -> None:
        film = await keys.film("AUDIO", "UHD1", hidden=["UHD1"])
        assert (await refused(keys.hls_key(film, film.keys[1].key_id.hex()))).reason == "KEY_NOT_ENTITLED"

    @pytest.mark.parametrize("key_id", ["", "0" * 31, "A" * 32, "../" + "0" * 29])
    async def test_a_key_id_in_any_other_form_is_refused(self, keys: Keys, key_id: str) -> None:
        film = await keys.film()
        assert (await refused(keys.hls_key(film, key_id))).reason == "REQUEST_INVALID"
