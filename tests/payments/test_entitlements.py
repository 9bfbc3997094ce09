"""Money and what it lets people watch: the payments service and the policy service together, on the real bus."""

from __future__ import annotations

import runpy
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest
import sqlalchemy as sa
from alembic.operations import Operations
from alembic.runtime.migration import MigrationContext
from google.protobuf.duration_pb2 import Duration
from reelmesh.payments.v1 import entitlements_service_pb2 as api
from reelmesh.payments.v1 import events_pb2, payments_pb2
from reelmesh.policy.v1 import decisions_service_pb2 as policy

from services.kit.clock import timestamp
from services.kit.ids import new_id
from services.kit.settings import ProcessSettings
from tests.payments.scene import T0, Books, books, money, once, rental
from tests.payments.scene import refused as refusing
from tests.policy.scene import Scene, a_scene, eventually, refused

HOUR = timedelta(hours=1)


def span(length: timedelta) -> Duration:
    made = Duration()
    made.FromTimedelta(length)
    return made


def gift(**changes: Any) -> payments_pb2.Grant:
    return payments_pb2.Grant(**{"kind": events_pb2.ENTITLEMENT_KIND_GIFT, **changes})


async def given(till: Books, viewer_id: str, grant: payments_pb2.Grant, comment: str = "") -> api.Entitlement:
    request = api.GrantEntitlementRequest(request_id=once(), viewer_id=viewer_id, grant=grant, comment=comment)
    return (await till.entitlements.GrantEntitlement(request)).entitlement


async def taken(till: Books, entitlement_id: str, comment: str = "") -> api.Entitlement:
    request = api.RevokeEntitlementRequest(entitlement_id=entitlement_id, comment=comment)
    return (await till.entitlements.RevokeEntitlement(request)).entitlement


async def found(till: Books, entitlement_id: str) -> api.Entitlement:
    request = api.GetEntitlementRequest(entitlement_id=entitlement_id)
    return (await till.entitlements.GetEntitlement(request)).entitlement


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


async def test_what_an_operator_gives_plays_until_it_is_taken_back(mesh: ProcessSettings) -> None:
    """And payments learn how often it was used."""
    async with a_scene(mesh) as scene, books(mesh) as till:
        film = await scene.publish()
        await scene.terms(film.asset_id, entitlement_required=True)
        window = {"begin_by_time": timestamp(scene.clock.now() + HOUR), "watch_duration": span(2 * HOUR)}
        made = await given(till, "ada", gift(asset_id=film.asset_id, max_plays=2, **window), "for her birthday")
        assert (made.plays, made.plays_left, made.comment) == (0, 2, "for her birthday")
        await becomes(scene, film.asset_id, "ada", "")
        playback = (await scene.play(film.asset_id, viewer_id="ada")).playback
        await eventually(scene.edge, playback.dash_url, "")
        while (shown := await found(till, made.entitlement_id)).plays == 0:
            await scene.bus.client.flush()
        begun = scene.clock.now()
        assert (shown.plays, shown.plays_left, shown.begin_time) == (1, 1, timestamp(begun))
        assert shown.window_end_time == timestamp(begun + 2 * HOUR)
        ended = await taken(till, made.entitlement_id, "by mistake")
        assert (ended.state, ended.revoke_comment) == (api.ENTITLEMENT_STATE_REVOKED, "by mistake")
        await eventually(scene.edge, playback.dash_url, "SESSION_REVOKED")
        assert (await refused(scene.play(film.asset_id, viewer_id="ada"))).reason == "ENTITLEMENT_REQUIRED"


async def test_a_gift_is_watched_by_who_got_it_and_ends_with_the_buyers_money(mesh: ProcessSettings) -> None:
    async with a_scene(mesh) as scene, books(mesh) as till:
        await till.divide_by()
        film = await scene.publish()
        await scene.terms(film.asset_id, entitlement_required=True)
        sale = await till.sell(999, viewer_id="ada", grant=gift(asset_id=film.asset_id, viewer_id="bob"))
        assert sale.viewer_id == "ada"
        await becomes(scene, film.asset_id, "bob", "")
        assert (await refused(scene.play(film.asset_id, viewer_id="ada"))).reason == "ENTITLEMENT_REQUIRED"
        playback = (await scene.play(film.asset_id, viewer_id="bob")).playback
        shown = await found(till, sale.entitlement_id)
        assert (shown.viewer_id, shown.buyer_id, shown.sale_id) == ("bob", "ada", sale.sale_id)
        await till.refund(sale)
        await eventually(scene.edge, playback.dash_url, "SESSION_REVOKED")


async def test_a_chargeback_that_is_won_gives_back_no_plays(mesh: ProcessSettings) -> None:
    async with a_scene(mesh) as scene, books(mesh) as till:
        await till.divide_by()
        film = await scene.publish()
        await scene.terms(film.asset_id, entitlement_required=True)
        sale = await till.sell(499, viewer_id="ada", grant=rental(asset_id=film.asset_id, max_plays=1))
        await becomes(scene, film.asset_id, "ada", "")
        await scene.play(film.asset_id, viewer_id="ada")
        lost = await till.charge_back(sale)
        await becomes(scene, film.asset_id, "ada", "ENTITLEMENT_REQUIRED")
        await till.win(sale, lost.entry_id)
        await becomes(scene, film.asset_id, "ada", "ENTITLEMENT_USED_UP")


async def test_what_somebody_revoked_stays_revoked_whatever_becomes_of_the_money(here: Books) -> None:
    sale = await here.sell(1000, viewer_id="ada", grant=rental())
    await taken(here, sale.entitlement_id)
    lost = await here.charge_back(sale)
    assert (await here.win(sale, lost.entry_id)).sale.entitled, "the money stands"
    assert (await found(here, sale.entitlement_id)).state == api.ENTITLEMENT_STATE_REVOKED
    assert (await taken(here, sale.entitlement_id, "again")).revoke_comment == "", "the first time counts"
    await here.bus.hears(events_pb2.EntitlementRevoked)
    assert len(here.bus.heard(events_pb2.EntitlementGranted)) == 1


async def test_only_what_nobody_pays_for_is_granted_by_hand(here: Books) -> None:
    for grant in (
        rental(),
        gift(viewer_id="bob"),
        gift(start_time=timestamp(T0), end_time=timestamp(T0)),
        gift(start_time=timestamp(T0), begin_by_time=timestamp(T0)),
    ):
        with refusing("GRANT_INVALID"):
            await given(here, "ada", grant)
    with pytest.raises(grpc.aio.AioRpcError):
        await given(here, "ada", gift(kind=0))
    with refusing("ENTITLEMENT_NOT_FOUND"):
        await found(here, new_id("ent"))
    with refusing("ENTITLEMENT_NOT_FOUND"):
        await taken(here, new_id("ent"))


async def test_entitlements_are_found_by_viewer_and_by_asset_and_say_where_they_stand(here: Books) -> None:
    asset_id = new_id("ast")
    later = await given(here, "ada", gift(asset_id=asset_id, start_time=timestamp(T0 + HOUR)))
    over = await given(here, "ada", gift(end_time=timestamp(T0 + HOUR)))
    other = await given(here, "bob", gift(asset_id=asset_id))
    here.clock.advance(HOUR)

    async def listed(**filters: str) -> list[tuple[str, int]]:
        seen: list[tuple[str, int]] = []
        token = ""
        while True:
            request = api.ListEntitlementsRequest(page_size=1, page_token=token, **filters)
            answer = await here.entitlements.ListEntitlements(request)
            seen += [(one.entitlement_id, one.state) for one in answer.entitlements]
            token = answer.next_page_token
            if not token:
                return seen

    assert later.state == api.ENTITLEMENT_STATE_PENDING
    assert await listed(viewer_id="ada") == [
        (over.entitlement_id, api.ENTITLEMENT_STATE_ENDED),
        (later.entitlement_id, api.ENTITLEMENT_STATE_ACTIVE),
    ]
    assert await listed(asset_id=asset_id) == [
        (other.entitlement_id, api.ENTITLEMENT_STATE_ACTIVE),
        (later.entitlement_id, api.ENTITLEMENT_STATE_ACTIVE),
    ]


MIGRATION = Path(__file__).resolve().parents[2] / "services/payments/migrations/0003_offers.py"


async def test_what_sales_granted_before_entitlements_stood_by_themselves_is_kept(here: Books) -> None:
    """As the migration copies it: with its sale, whether its money stands, and when it was announced last."""
    end = timestamp(T0 + HOUR)
    sale = await here.sell(1000, viewer_id="ada", grant=rental(end_time=end, territories=["DE"]))
    before = await found(here, sale.entitlement_id)
    as_it_was = {
        "granted": rental(end_time=end, territories=["DE"]).SerializeToString(),
        "entitle_time": T0 + HOUR,
        "sale_id": sale.sale_id,
    }

    def copied(connection: sa.Connection) -> None:
        with Operations.context(MigrationContext.configure(connection)):
            runpy.run_path(str(MIGRATION))["copy_from_sales"]()

    async with here.database.transaction() as tx:
        await tx.execute(sa.text("DELETE FROM entitlements"))
        query = "UPDATE sales SET granted = :granted, entitle_time = :entitle_time WHERE sale_id = :sale_id"
        await tx.execute(sa.text(query), as_it_was)
        await tx.run_sync(copied)
    assert await found(here, sale.entitlement_id) == before
    assert not (await here.refund(sale)).sale.entitled
    revoked = await here.bus.hears(events_pb2.EntitlementRevoked)
    assert revoked.change_time.ToDatetime(tzinfo=T0.tzinfo) > T0 + HOUR, "later than what was announced last"
