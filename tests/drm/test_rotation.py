"""Rotation: by schedule and on request, with nobody who watches noticing, and over a crash in the middle."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import grpc
from reelmesh.drm.v1 import events_pb2
from reelmesh.drm.v1 import keys_service_pb2 as api

from services.drm.keks import Keks
from services.drm.keystores.choice import chosen
from services.drm.rotation.domain import Kind
from services.drm.rotation.rotating import Rotating
from services.kit.ids import new_id
from tests.drm.scene import Keys, with_keys
from tests.policy.scene import Scene, refused
from tests.support.keeping import completed, database, rows, start
from tests.support.running import connected

OTHER_GENERATIONS = (
    "SELECT count(*) AS n FROM content_keys k JOIN key_encryption_keys e USING (kek_id) WHERE e.generation <> $1"
)


async def generations(keys: Keys) -> list[int]:
    return [
        row["generation"] for row in await rows(keys.settings, "SELECT generation FROM key_encryption_keys ORDER BY 1")
    ]


class TestOnRequest:
    async def test_every_key_is_sealed_anew_and_opens_as_before(self, keys: Keys) -> None:
        films = [await keys.film() for _ in range(3)]
        before = {
            row["key_id"]: row["sealed"] for row in await rows(keys.settings, "SELECT key_id, sealed FROM content_keys")
        }
        rotation = await completed(keys, await start(keys))
        assert (rotation.keys_total, rotation.keys_done, rotation.kind) == (6, 6, api.ROTATION_KIND_ASKED)
        assert rotation.HasField("rewrap_time")
        assert rotation.HasField("complete_time")
        assert (await rows(keys.settings, OTHER_GENERATIONS, 2))[0]["n"] == 0
        after = await rows(keys.settings, "SELECT key_id, sealed, version FROM content_keys")
        assert {row["version"] for row in after} == {2}
        assert all(row["sealed"] != before[row["key_id"]] for row in after)
        for film in films:
            assert [key.key for key in await keys.make(film.package_id, "AUDIO", "HD")] == [
                key.key for key in film.keys
            ]
            await keys.licence(film)

    async def test_what_is_made_afterwards_is_sealed_by_the_new_one(self, keys: Keys) -> None:
        await keys.film()
        rotation = await completed(keys, await start(keys))
        await keys.film()
        listed = (await keys.keeping.ListKeyEncryptionKeys(api.ListKeyEncryptionKeysRequest())).keys
        assert [(one.generation, one.content_keys) for one in listed] == [(2, 4), (1, 0)]
        assert listed[0].kek_id == rotation.kek_id
        assert (listed[0].HasField("retire_time"), listed[1].HasField("retire_time")) == (False, True)

    async def test_a_repeat_of_the_request_begins_nothing_more(self, keys: Keys) -> None:
        await keys.film()
        request = api.StartRotationRequest(request_id=new_id("req"))
        one, again = [(await keys.keeping.StartRotation(request)).rotation for _ in range(2)]
        assert one.rotation_id == again.rotation_id
        await completed(keys, one)
        assert await generations(keys) == [1, 2]

    async def test_it_is_announced_and_stands_in_the_audit(self, keys: Keys) -> None:
        film = await keys.film("HD")
        rotation = await completed(keys, await start(keys, "quarterly"))
        begun = await keys.scene.bus.hears(events_pb2.KeyRotationStarted)
        assert (begun.reason, begun.actor, begun.emergency) == ("quarterly", "operator", False)
        assert (await keys.scene.bus.hears(events_pb2.KeyRotationCompleted)).rotation_id == rotation.rotation_id
        await keys.licence(film)
        await keys.scene.bus.hears(events_pb2.LicenceIssued)
        used = (await keys.keeping.ListKeyUses(api.ListKeyUsesRequest(key_id=film.keys[0].key_id.hex()))).uses
        assert [one.action for one in used] == [
            api.KEY_ACTION_LICENSED,
            api.KEY_ACTION_REWRAPPED,
            api.KEY_ACTION_PACKAGED,
        ]
        assert used[0].actor == film.session_id
        assert used[0].detail.startswith("org.w3.clearkey")
        pages = api.ListKeyUsesRequest(page_size=1)
        seen = []
        for _ in range(10):
            page = await keys.keeping.ListKeyUses(pages)
            seen += [one.use_id for one in page.uses]
            pages.page_token = page.next_page_token
            if not pages.page_token:
                break
        assert len(seen) == len(set(seen)) == 5

    async def test_another_organisation_sees_and_changes_nothing(self, keys: Keys, other_organisation_key: str) -> None:
        await keys.film()
        rotation = await completed(keys, await start(keys))
        from reelmesh.drm.v1 import keys_service_pb2_grpc

        async with connected(keys.settings, "drm", key=other_organisation_key) as channel:
            stub: Any = keys_service_pb2_grpc.KeysServiceStub(channel)
            refusal = await refused(stub.GetRotation(api.GetRotationRequest(rotation_id=rotation.rotation_id)))
            assert (refusal.code, refusal.reason) == (grpc.StatusCode.NOT_FOUND, "ROTATION_NOT_FOUND")
            assert not (await stub.ListKeyEncryptionKeys(api.ListKeyEncryptionKeysRequest())).keys
            assert not (await stub.ListKeyUses(api.ListKeyUsesRequest())).uses
        assert await generations(keys) == [1, 2]


class TestBySchedule:
    async def test_it_begins_when_the_key_is_ninety_days_old_and_over_restarts(self, scene: Scene) -> None:
        async with with_keys(scene, drm_care_seconds=0.05) as keys:
            film = await keys.film()
            due = (await keys.keeping.ListKeyEncryptionKeys(api.ListKeyEncryptionKeysRequest())).rotate_time
            assert due.ToDatetime(scene.clock.now().tzinfo) == scene.clock.now() + timedelta(days=90)
            scene.clock.advance(timedelta(days=89, hours=23))
            await asyncio.sleep(0.3)
            assert await generations(keys) == [1]
        scene.clock.advance(timedelta(hours=2))
        async with with_keys(scene, drm_care_seconds=0.05) as keys:
            begun = await scene.bus.hears(events_pb2.KeyRotationStarted)
            assert begun.actor == "service/drm"
            await scene.bus.hears(events_pb2.KeyRotationCompleted)
            assert [key.key for key in await keys.make(film.package_id, "AUDIO", "HD")] == [
                key.key for key in film.keys
            ]
            assert await generations(keys) == [1, 2]

    async def test_the_old_one_opens_for_a_day_and_is_destroyed_then(self, scene: Scene) -> None:
        async with with_keys(scene, drm_care_seconds=0.05) as keys:
            film = await keys.film()
            await completed(keys, await start(keys))
            state = "SELECT octet_length(wrapped) AS size, destroy_time FROM key_encryption_keys WHERE generation = 1"
            assert (await rows(keys.settings, state))[0]["size"] > 0
            scene.clock.advance(timedelta(days=1, minutes=1))
            async with asyncio.timeout(60):
                while (await rows(keys.settings, state))[0]["destroy_time"] is None:
                    await asyncio.sleep(0.05)
            assert (await rows(keys.settings, state))[0]["size"] == 0
            await keys.make(film.package_id, "AUDIO", "HD")

    async def test_what_happened_is_forgotten_after_its_time(self, scene: Scene) -> None:
        async with with_keys(scene, drm_care_seconds=0.05, drm_rotation_period=timedelta(days=4000)) as keys:
            await keys.film()
            await completed(keys, await start(keys))
            scene.clock.advance(timedelta(days=401))
            async with asyncio.timeout(60):
                while (await keys.keeping.ListRotations(api.ListRotationsRequest())).rotations:
                    await asyncio.sleep(0.05)
            left = (await keys.keeping.ListKeyUses(api.ListKeyUsesRequest())).uses
            assert {one.action for one in left} <= {api.KEY_ACTION_KEK_DESTROYED}


class TestInTheMiddle:
    async def test_both_generations_open_while_it_runs_and_whoever_comes_next_goes_on(self, scene: Scene) -> None:
        """A rotation whose process died after its first batch, in every state of a row."""
        async with with_keys(scene, drm_care_seconds=3600) as keys:
            films = [await keys.film() for _ in range(3)]
            async with database(keys.settings) as tables:
                keks = Keks(chosen(keys.settings), 300, scene.clock)
                one = Rotating(tables, keks, scene.clock, batch=2)
                async with tables.transaction() as tx:
                    begun = await one.begin(tx, scene.organisation_id, Kind.ASKED, "", "nobody")
                assert await one.rewrap_some(begun.rotation_id)
                assert (await rows(keys.settings, OTHER_GENERATIONS, 2))[0]["n"] == 4
                for film in films:
                    await keys.licence(film)
                await keys.film()
        async with with_keys(scene, drm_care_seconds=0.05) as keys:
            await scene.bus.hears(events_pb2.KeyRotationCompleted)
            assert (await rows(keys.settings, OTHER_GENERATIONS, 2))[0]["n"] == 0
            for film in films:
                assert [key.key for key in await keys.make(film.package_id, "AUDIO", "HD")] == [
                    key.key for key in film.keys
                ]

    async def test_keys_made_at_the_same_moment_are_not_left_behind(self, scene: Scene) -> None:
        async with with_keys(scene) as keys:
            await keys.film()

            async def made() -> None:
                for _ in range(8):
                    await keys.make(new_id("pkg"), "AUDIO", "HD")

            begun, *_ = await asyncio.gather(start(keys), made(), made())
            await completed(keys, begun)
            assert (await rows(keys.settings, OTHER_GENERATIONS, 2))[0]["n"] == 0

    async def test_viewers_and_a_rotation_at_the_same_time(self, scene: Scene) -> None:
        async with with_keys(scene, drm_keys_fresh_seconds=0.01) as keys:
            films = [await keys.film() for _ in range(4)]

            async def watched(film: Any) -> None:
                for _ in range(10):
                    await keys.licence(film)

            for _ in range(3):
                watching = asyncio.gather(*(watched(film) for film in films))
                await completed(keys, await start(keys))
                await watching
