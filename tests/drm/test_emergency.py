"""Emergencies: what is thought to be stolen opens nothing once it has a successor. The test plays the packaging service; policy is real."""

from __future__ import annotations

import asyncio

import grpc
from reelmesh.drm.v1 import events_pb2
from reelmesh.drm.v1 import keys_service_pb2 as api
from reelmesh.packaging.v1 import events_pb2 as packaging
from reelmesh.packaging.v1 import packaging_pb2
from reelmesh.policy.v1 import events_pb2 as policy

from services.kit.clock import timestamp
from services.kit.ids import new_id
from tests.drm.scene import Film, Keys, with_keys
from tests.policy.scene import Scene, refused
from tests.support.keeping import completed, emergency, rows, start


async def replaced(keys: Keys, film: Film) -> packaging.PackagePublished:
    """Packaging made a successor, with keys of its own."""
    package_id = new_id("pkg")
    fresh = await keys.make(package_id, "AUDIO", "HD")
    event = packaging.PackagePublished(
        package_id=package_id,
        asset_id=film.asset_id,
        organisation_id=keys.scene.organisation_id,
        track_keys=[packaging_pb2.TrackKey(label=key.label, key_id=key.key_id.hex()) for key in fresh],
        dash_path="manifest.mpd",
        hls_path="master.m3u8",
        publish_time=timestamp(keys.scene.clock.now()),
        replaced_package_id=film.package_id,
    )
    await keys.scene.bus.publish(event)
    return event


async def titles(keys: Keys, rotation: api.Rotation) -> dict[str, api.RotationTitle]:
    request = api.ListRotationTitlesRequest(rotation_id=rotation.rotation_id)
    return {one.package_id: one for one in (await keys.keeping.ListRotationTitles(request)).titles}


async def gone(keys: Keys, film: Film, reason: str = "") -> str:
    """Waits until no licence is given for a film any more, and for the given reason; returns the reason."""
    async with asyncio.timeout(60):
        while True:
            try:
                await keys.licence(film)
            except grpc.aio.AioRpcError:
                seen = (await refused(keys.licence(film))).reason
                if reason in {"", seen}:
                    return seen
            await asyncio.sleep(0.02)


class TestAnEmergency:
    async def test_successors_are_asked_for_and_everything_is_sealed_anew(self, keys: Keys) -> None:
        films = [await keys.film() for _ in range(3)]
        rotation = await emergency(keys)
        assert (rotation.kind, rotation.titles_total) == (api.ROTATION_KIND_EMERGENCY, 3)
        await keys.scene.bus.hears(events_pb2.RepackagingRequested, count=3)
        asked = keys.scene.bus.heard(events_pb2.RepackagingRequested)
        assert {one.package_id for one in asked} == {film.package_id for film in films}
        now = await completed(keys, rotation, api.ROTATION_STATE_REPACKAGING)
        assert (now.keys_done, now.titles_done) == (6, 0)
        for film in films:  # everybody goes on watching until there is something else to watch
            await keys.licence(film)

    async def test_a_successor_ends_keys_licences_and_sessions_of_its_forerunner_alone(self, keys: Keys) -> None:
        film, other = await keys.film(), await keys.film()
        rotation = await emergency(keys)
        published = await replaced(keys, film)
        # Until policy has heard that the package is revoked it may know already that the session is.
        assert await gone(keys, film, "PLAYBACK_REVOKED")
        await keys.scene.bus.hears(policy.SessionRevoked)
        assert [one.session_id for one in keys.scene.bus.heard(policy.SessionRevoked)] == [film.session_id]
        assert not (await keys.scene.edge.check(f"/p/{film.ticket}/{film.package_id}/manifest.mpd")).allowed
        left = await rows(
            keys.settings, "SELECT sealed, revoke_time FROM content_keys WHERE package_id = $1", film.package_id
        )
        assert [row["sealed"] for row in left] == [b"", b""]
        await keys.licence(other)
        playback = (await keys.scene.play(film.asset_id)).playback
        assert playback.package_id == published.package_id
        now = (await titles(keys, rotation))[film.package_id]
        assert (now.state, now.new_package_id) == (api.TITLE_STATE_REPLACED, published.package_id)

    async def test_it_is_complete_with_the_last_title_however_that_ended(self, keys: Keys) -> None:
        played, failed, skipped = [await keys.film() for _ in range(3)]
        rotation = await emergency(keys)
        await replaced(keys, played)
        await keys.scene.bus.publish(
            packaging.PackagingFailed(
                package_id=new_id("pkg"), message="no disk", replaced_package_id=failed.package_id
            )
        )
        await keys.scene.bus.publish(packaging.RepackagingSkipped(package_id=skipped.package_id))
        now = await completed(keys, rotation)
        assert (now.titles_done, now.titles_failed, now.titles_skipped) == (1, 1, 1)
        assert now.HasField("first_title_time")
        await keys.licence(failed)  # a fault of the packager's takes nothing from anybody
        assert await gone(keys, skipped)
        assert (await titles(keys, rotation))[failed.package_id].failure_message == "no disk"
        await keys.scene.bus.hears(events_pb2.KeyRotationCompleted)
        again = await emergency(keys, failed.package_id)
        assert again.titles_total == 1

    async def test_stopping_at_once_waits_for_nothing(self, keys: Keys) -> None:
        film = await keys.film()
        await emergency(keys, film.package_id, stop_at_once=True)
        assert await gone(keys, film)

    async def test_a_destroyed_key_is_never_given_to_a_packager_again(self, keys: Keys) -> None:
        film = await keys.film()
        rotation = await emergency(keys)
        await replaced(keys, film)
        await completed(keys, rotation)
        refusal = await refused(keys.make(film.package_id, "AUDIO", "HD"))
        assert (refusal.code, refusal.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "KEYS_REVOKED")

    async def test_it_goes_on_after_a_restart(self, scene: Scene) -> None:
        async with with_keys(scene, drm_care_seconds=3600) as keys:
            film = await keys.film()
            rotation = await emergency(keys)
        async with with_keys(scene, drm_care_seconds=0.05) as keys:
            await scene.bus.hears(events_pb2.RepackagingRequested)
            await replaced(keys, film)
            await completed(keys, rotation)

    async def test_it_takes_over_a_rotation_that_runs(self, keys: Keys) -> None:
        await keys.film()
        _, rotation = await start(keys), await emergency(keys)
        await completed(keys, rotation, api.ROTATION_STATE_REPACKAGING)
        listed = (await keys.keeping.ListRotations(api.ListRotationsRequest())).rotations
        assert [one.state for one in listed] == [api.ROTATION_STATE_REPACKAGING, api.ROTATION_STATE_COMPLETED]
        assert {row["kek_id"] for row in await rows(keys.settings, "SELECT kek_id FROM content_keys")} == {
            rotation.kek_id
        }


class TestWhatIsRefused:
    async def test_nothing_to_change(self, keys: Keys) -> None:
        assert (await refused(emergency(keys))).reason == "NOTHING_TO_ROTATE"
        film = await keys.film()
        absent = new_id("pkg")
        refusal = await refused(emergency(keys, film.package_id, absent))
        assert (refusal.reason, refusal.metadata["package_id"]) == ("NOTHING_TO_ROTATE", absent)

    async def test_a_second_emergency_for_the_same_titles(self, keys: Keys) -> None:
        await keys.film()
        rotation = await emergency(keys)
        refusal = await refused(emergency(keys))
        assert (refusal.reason, refusal.metadata["rotation_id"]) == ("EMERGENCY_RUNNING", rotation.rotation_id)

    async def test_no_reason(self, keys: Keys) -> None:
        request = api.StartEmergencyRequest(request_id=new_id("req"), reason="because")
        assert (await refused(keys.keeping.StartEmergency(request))).reason == "REQUEST_INVALID"
