"""Tiers by subscription, as payments announces them."""

from __future__ import annotations

from datetime import datetime, timedelta

from reelmesh.payments.v1 import events_pb2
from reelmesh.policy.v1 import decisions_service_pb2 as policy

from services.kit.clock import timestamp
from services.kit.ids import new_id
from tests.policy.scene import Scene


async def becomes(scene: Scene, asset_id: str, reason: str) -> None:
    """Waits until whether Ada may watch comes out so; the test's own limit ends it."""
    request = policy.GetAccessRequest(asset_id=asset_id, viewer_id="ada")
    while (await scene.decisions.GetAccess(request)).decision.reason != reason:
        await scene.bus.client.flush()


def changed(
    scene: Scene, subscription_id: str, tier: str, end: datetime, after: timedelta
) -> events_pb2.SubscriptionChanged:
    return events_pb2.SubscriptionChanged(
        subscription_id=subscription_id,
        organisation_id=scene.organisation_id,
        viewer_id="ada",
        tier=tier,
        tier_end_time=timestamp(end) if tier else None,
        change_time=timestamp(scene.clock.now() + after),
    )


async def test_a_subscription_puts_its_viewer_in_a_tier_until_it_ends(scene: Scene) -> None:
    film = await scene.publish()
    await scene.terms(film.asset_id, tiers=["premium"])
    await becomes(scene, film.asset_id, "ENTITLEMENT_REQUIRED")
    one, end, second = new_id("sub"), scene.clock.now() + timedelta(days=30), timedelta(seconds=1)
    await scene.bus.publish(changed(scene, one, "premium", end, second))
    await becomes(scene, film.asset_id, "")
    await scene.bus.publish(changed(scene, one, "", end, 3 * second))
    await becomes(scene, film.asset_id, "ENTITLEMENT_REQUIRED")
    await scene.bus.publish(changed(scene, one, "premium", end, 2 * second))  # what comes late says nothing new
    await scene.bus.publish(changed(scene, new_id("sub"), "premium", end, second))
    await becomes(scene, film.asset_id, "")
    scene.clock.advance(timedelta(days=31))  # nobody said that it ended, and it did
    await becomes(scene, film.asset_id, "ENTITLEMENT_REQUIRED")
