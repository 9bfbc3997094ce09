"""People who watch: as themselves."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable

import grpc
import pytest
from reelmesh.policy.v1 import policy_service_pb2 as api

from services.kit.ids import new_id
from services.kit.settings import ProcessSettings
from tests.identity.organisation import Home, Shown
from tests.identity.scene import Person
from tests.identity.scene import a_scene as with_identity
from tests.policy.scene import Scene, refused


@pytest.fixture
async def home(mesh: ProcessSettings) -> AsyncIterator[Home]:
    """People of the operator's organisation."""
    async with with_identity(mesh) as scene:
        yield Home(scene)


async def play(
    scene: Scene, asset_id: str, shown: Shown, *, viewer_id: str = "", request_id: str = ""
) -> api.CreatePlaybackResponse:
    request = api.CreatePlaybackRequest(request_id=request_id or new_id("req"), asset_id=asset_id, viewer_id=viewer_id)
    return await scene.stub.CreatePlayback(request, metadata=shown)


async def film(scene: Scene) -> str:
    published = await scene.publish()
    return published.asset_id


async def test_a_person_watches_as_themselves(home: Home, scene: Scene) -> None:
    asset_id, viewer = await film(scene), await home.scene.register()
    mine = viewer.account.account_id
    assert (await play(scene, asset_id, viewer.shown)).session.viewer_id == mine
    assert (await play(scene, asset_id, viewer.shown, viewer_id=mine)).session.viewer_id == mine
    for other in (new_id("usr"), "somebody"):
        refusal = await refused(play(scene, asset_id, viewer.shown, viewer_id=other))
        assert (refusal.code, refusal.reason) == (grpc.StatusCode.PERMISSION_DENIED, "VIEWER_NOT_SELF")
        assert refusal.metadata["viewer_id"] == mine


async def test_even_an_admin_names_nobody_else(home: Home, scene: Scene) -> None:
    asset_id, admin = await film(scene), await home.somebody("admin")
    assert (await refused(play(scene, asset_id, admin.shown, viewer_id="x"))).reason == "VIEWER_NOT_SELF"


async def test_an_api_key_names_whom_it_likes(home: Home, scene: Scene) -> None:
    asset_id, key = await film(scene), await home.key("playback.create")
    shown = (("authorization", f"Bearer {key.secret}"),)
    for viewer in ("", "somebody", new_id("usr")):
        assert (await play(scene, asset_id, shown, viewer_id=viewer)).session.viewer_id == viewer


async def test_nobody_gets_the_session_of_somebody_who_took_the_same_request_id(home: Home, scene: Scene) -> None:
    asset_id, people = await film(scene), [await home.scene.register() for _ in range(2)]

    def asked(person: Person) -> Awaitable[api.CreatePlaybackResponse]:
        return play(scene, asset_id, person.shown, request_id="the-same-id")

    first = await asked(people[0])
    assert (await asked(people[0])).session == first.session
    assert (await refused(asked(people[1]))).reason == "REQUEST_ID_REUSED"
