"""Money and what it lets people watch: the payments service and the policy service together, on the real bus."""

from __future__ import annotations

from datetime import timedelta

from reelmesh.policy.v1 import decisions_service_pb2 as policy

from services.kit.clock import timestamp
from services.kit.settings import ProcessSettings
from tests.payments.scene import books, money, rental
from tests.policy.scene import Scene, a_scene, eventually, refused


async def becomes(scene: Scene, asset_id: str, viewer_id: str, reason: str) -> None:
    """Waits until whether the viewer may watch comes out so; the test's own limit ends it."""
    request = policy.GetAccessRequest(asset_id=asset_id, viewer_id=viewer_id)
    while (await scene.decisions.GetAccess(request)).decision.reason != reason:
        await scene.bus.client.flush()


async def test_a_rental_plays_until_it_is_refunded_and_again_when_a_chargeback_is_won(mesh: ProcessSettings) -> None:
    async with a_scene(mesh) as scene, books(mesh) as till:
        await till.divide_by()
        film = await scene.publish()
        await scene.terms(film.asset_id, entitlement_required=True)
        assert (await refused(scene.play(film.asset_id, viewer_id="ada"))).reason == "ENTITLEMENT_REQUIRED"
        end = timestamp(scene.clock.now() + timedelta(days=2))
        sale = await till.sell(499, viewer_id="ada", grant=rental(asset_id=film.asset_id, end_time=end))
        await becomes(scene, film.asset_id, "ada", "")
        playback = (await scene.play(film.asset_id, viewer_id="ada")).playback
        await eventually(scene.edge, playback.dash_url, "")
        lost = await till.charge_back(sale, fee=1500)
        await eventually(scene.edge, playback.dash_url, "SESSION_REVOKED")
        await becomes(scene, film.asset_id, "ada", "ENTITLEMENT_REQUIRED")
        await till.win(sale, lost.entry_id)
        await becomes(scene, film.asset_id, "ada", "")
        again = (await scene.play(film.asset_id, viewer_id="ada")).playback
        await eventually(scene.edge, again.dash_url, "")
        await till.refund(sale, amount=money(499))
        await eventually(scene.edge, again.dash_url, "SESSION_REVOKED")
        await till.in_order()
