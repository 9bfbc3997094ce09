"""Packages that take the place of others because their keys have to be changed, made by a real worker."""

from __future__ import annotations

import asyncio

from reelmesh.assets.v1.events_pb2 import AssetDeleted
from reelmesh.drm.v1.events_pb2 import RepackagingRequested
from reelmesh.packaging.v1 import events_pb2 as announced
from reelmesh.packaging.v1 import packaging_pb2

from services.kit.ids import new_id
from tests.packaging.test_worker import Mesh, a_worker, here

__all__ = ["here"]


def asked_for(package_id: str) -> RepackagingRequested:
    return RepackagingRequested(rotation_id=new_id("rot"), package_id=package_id)


async def test_a_successor_has_other_keys_and_the_forerunner_goes_once_it_is_there(here: Mesh) -> None:
    async with a_worker(here):
        await here.bus.publish(here.transcoded())
        first = await here.bus.hears(announced.PackagePublished, within=60)
        assert not first.replaced_package_id
        await here.bus.publish(asked_for(first.package_id))
        second = await here.bus.hears(announced.PackagePublished, count=2, within=60)
    assert (second.replaced_package_id, second.asset_id) == (first.package_id, first.asset_id)
    before, after = ({key.key_id for key in one.track_keys} for one in (first, second))
    assert not before & after
    assert here.files(f"published/{second.package_id}")
    async with asyncio.timeout(60):
        while here.files(f"published/{first.package_id}"):
            await asyncio.sleep(0.05)


async def test_asking_twice_makes_one_successor(here: Mesh) -> None:
    async with a_worker(here):
        await here.bus.publish(here.transcoded())
        first = await here.bus.hears(announced.PackagePublished, within=60)
        for _ in range(2):
            await here.bus.publish(asked_for(first.package_id))
        await here.bus.hears(announced.PackagePublished, count=2, within=60)
        await here.bus.publish(here.transcoded())
        await here.bus.hears(announced.PackagePublished, count=3, within=60)
    assert sum(one.replaced_package_id == first.package_id for one in here.bus.heard(announced.PackagePublished)) == 1


async def test_one_that_is_still_being_made_is_given_up_for_its_successor(here: Mesh) -> None:
    event = here.transcoded()
    await here.bus.publish(event)
    waiting = await here.package_of(event.asset_id)
    await here.bus.publish(asked_for(waiting.package_id))
    async with asyncio.timeout(60):
        while (now := await here.package_of(event.asset_id)).package_id == waiting.package_id:
            await asyncio.sleep(0.02)
    assert now.state == packaging_pb2.PACKAGE_STATE_PACKAGING
    async with a_worker(here):
        published = await here.bus.hears(announced.PackagePublished, within=60)
    assert (published.package_id, published.replaced_package_id) == (now.package_id, waiting.package_id)


async def test_what_is_unknown_or_deleted_needs_no_successor(here: Mesh) -> None:
    unknown = new_id("pkg")
    await here.bus.publish(asked_for(unknown))
    assert (await here.bus.hears(announced.RepackagingSkipped)).package_id == unknown
    event = here.transcoded()
    await here.bus.publish(event)
    waiting = await here.package_of(event.asset_id)
    await here.bus.publish(asked_for(waiting.package_id))
    async with asyncio.timeout(60):
        while (await here.package_of(event.asset_id)).package_id == waiting.package_id:
            await asyncio.sleep(0.02)
    await here.bus.publish(AssetDeleted(asset_id=event.asset_id, organisation_id=here.organisation_id))
    assert (await here.bus.hears(announced.RepackagingSkipped, count=2)).package_id == waiting.package_id
