"""Tables of what is asked for by place, and classifications of titles: their versions, and what is announced of them."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from reelmesh.assets.v1 import events_pb2 as assets
from reelmesh.compliance.v1 import age_service_pb2, events_pb2
from reelmesh.compliance.v1 import jurisdictions_pb2 as api
from reelmesh.compliance.v1 import jurisdictions_service_pb2 as service

from services.compliance.age.contract import DOCUMENT, FACE
from services.compliance.jurisdictions.shipped import shipped_rules
from services.kit.clock import SystemClock, timestamp
from services.kit.ids import new_id
from services.kit.settings import ProcessSettings
from tests.compliance.age_desk import Desk, a_desk
from tests.compliance.holder import Issuer
from tests.compliance.scene import refused


def verify(territory: str, *methods: str, **changes: Any) -> api.JurisdictionRule:
    accepted = [api.AcceptedMethod(method=method, good_for=Duration(seconds=3600)) for method in methods]
    law = api.AgeLaw(threshold=18, action=api.AGE_LAW_ACTION_VERIFY, methods=accepted)
    return api.JurisdictionRule(territory=territory, age=law, **changes)


async def put(desk: Desk, *rules: api.JurisdictionRule, **changes: Any) -> api.JurisdictionTable:
    request = service.PutJurisdictionTableRequest(**{"request_id": new_id("req"), "rules": rules} | changes)
    return (await desk.jurisdictions.PutJurisdictionTable(request)).table


async def table(desk: Desk, **asked: Any) -> api.JurisdictionTable:
    request = service.GetJurisdictionTableRequest(**asked)
    return (await desk.jurisdictions.GetJurisdictionTable(request)).table


def test_every_row_that_ships_says_where_it_is_written() -> None:
    rules = shipped_rules()
    assert {rule.territory for rule in rules} >= {"US-TX", "US-UT", "US-LA", "GB", "FR", "DE"}
    assert all(rule.source and rule.HasField("start_time") for rule in rules)


async def test_tables_have_versions_and_the_newest_is_in_force(mesh: ProcessSettings, tmp_path: Path) -> None:
    now = SystemClock().now()
    async with a_desk(mesh, tmp_path, now, [Issuer(now).pem]) as desk:
        shipped = await desk.bus.hears(events_pb2.JurisdictionsChanged)
        assert (shipped.organisation_id, list(shipped.rules)) == ("", list(shipped_rules()))
        assert (await table(desk)).version == 0
        assert list((await table(desk)).rules) == list(shipped_rules())

        first = await put(desk, verify("US-TX", DOCUMENT), comment="as counsel says")
        told = await desk.bus.hears(events_pb2.JurisdictionsChanged, count=2)
        assert (told.organisation_id, told.version, list(told.rules)) == (desk.organisation_id, 1, list(first.rules))
        second = await put(desk)
        assert [(await table(desk)).version, second.version] == [2, 2]
        assert (await table(desk, version=1)).comment == "as counsel says"
        assert len((await table(desk, shipped=True)).rules) == len(shipped_rules())
        with refused("JURISDICTION_TABLE_NOT_FOUND"):
            await table(desk, version=3)
        asked = service.ListJurisdictionTablesRequest(page_size=1)
        page = await desk.jurisdictions.ListJurisdictionTables(asked)
        assert [one.version for one in page.tables] == [2]
        asked.page_token = page.next_page_token
        page = await desk.jurisdictions.ListJurisdictionTables(asked)
        assert ([one.version for one in page.tables], page.next_page_token) == ([1], "")

        backwards = {"start_time": timestamp(now), "end_time": timestamp(now - timedelta(days=1))}
        for rule in (
            verify("DE"),
            verify("DE", "guessing"),
            verify("DE", DOCUMENT, DOCUMENT),
            verify("DE", DOCUMENT, **backwards),
        ):
            with refused("JURISDICTION_RULES_INVALID"):
                await put(desk, rule)
        with refused("REQUEST_INVALID"):
            await put(desk, verify("DE", DOCUMENT, start_time=Timestamp(seconds=5, nanos=-5)))


async def test_ways_to_prove_an_age_are_those_that_are_accepted_where_one_is(
    mesh: ProcessSettings, tmp_path: Path
) -> None:
    now = SystemClock().now()
    async with a_desk(mesh, tmp_path, now, [Issuer(now).pem]) as desk:

        async def ways(territory: str = "") -> list[tuple[str, str]]:
            request = age_service_pb2.GetAgeOptionsRequest(territory=territory)
            return [(one.provider, one.method) for one in (await desk.ages.GetAgeOptions(request)).options]

        assert ("eu", "eu-age-verification") in await ways()
        assert await ways("US-TX") == [("stand-in", DOCUMENT)]
        await put(desk, verify("US-TX", DOCUMENT, FACE), verify("US-UT", FACE), verify("DE", DOCUMENT))
        assert [method for _, method in await ways("US-TX")] == [FACE, DOCUMENT]
        assert [method for _, method in await ways("US")] == [FACE]
        assert len(await ways("FR")) == len(await ways())


async def test_titles_are_classified_in_versions(mesh: ProcessSettings, tmp_path: Path) -> None:
    now = SystemClock().now()
    async with a_desk(mesh, tmp_path, now, [Issuer(now).pem]) as desk:
        asset_id = new_id("ast")

        async def classify(**said: Any) -> api.TitleClassification:
            wanted = api.TitleClassification(asset_id=asset_id, **said)
            request = service.SetTitleClassificationRequest(classification=wanted)
            return (await desk.jurisdictions.SetTitleClassification(request)).classification

        async def found(version: int = 0) -> api.TitleClassification:
            request = service.GetTitleClassificationRequest(asset_id=asset_id, version=version)
            return (await desk.jurisdictions.GetTitleClassification(request)).classification

        assert (await found()).version == 0
        rating = api.ContentRating(territory="DE", system="FSK", label="16", age=16)
        first = await classify(ratings=[rating], tags=["smoking"])
        assert (await classify(ratings=[rating], tags=["smoking"])).version == first.version == 1
        told = await desk.bus.hears(events_pb2.TitleClassified)
        assert (told.asset_id, list(told.classification.ratings)) == (asset_id, [rating])
        assert (await classify(tags=["smoking"], version=1)).version == 2
        with refused("ETAG_MISMATCH"):
            await classify(version=1)
        assert [len((await found(version)).ratings) for version in (0, 1)] == [0, 1]
        with refused("CLASSIFICATION_NOT_FOUND"):
            await found(3)
        gone = assets.AssetDeleted(asset_id=asset_id, organisation_id=desk.organisation_id)
        await desk.bus.publish(gone)
        while (await found()).version:
            pass
