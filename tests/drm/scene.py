"""The DRM service beside the policy service that it asks, both real; the test is the packager and the player."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import grpc
from reelmesh.drm.v1 import drm_pb2, drm_service_pb2_grpc, keys_service_pb2_grpc, licences_service_pb2_grpc
from reelmesh.drm.v1 import drm_service_pb2 as api

from services.drm.__main__ import CONTRACT, CONTRACTS, DrmSettings, wire
from services.drm.domain import kid_of
from services.kit.ids import new_id
from tests.policy.scene import Scene
from tests.support.running import connected, running

if TYPE_CHECKING:
    Stub = drm_service_pb2_grpc.DrmServiceAsyncStub
    KeysStub = keys_service_pb2_grpc.KeysServiceAsyncStub
    Licences = licences_service_pb2_grpc.LicencesServiceAsyncStub


@dataclass(frozen=True)
class Film:
    """A published film, its keys, and a playback of it."""

    package_id: str
    asset_id: str
    session_id: str
    ticket: str
    keys: Sequence[drm_pb2.ContentKey]


@dataclass(frozen=True)
class Keys:
    """Both services, running.

    Attributes:
        packager: calls as the packaging service.
        player: calls without any credential in the metadata.
        channel: of the player.
        operator: of the operator.
    """

    scene: Scene
    settings: DrmSettings
    packager: Stub
    player: Stub
    channel: grpc.aio.Channel
    operator: grpc.aio.Channel

    @property
    def licences(self) -> Licences:
        """Calls as the operator."""
        return licences_service_pb2_grpc.LicencesServiceStub(self.operator)

    @property
    def players(self) -> Licences:
        """Calls as a player."""
        return licences_service_pb2_grpc.LicencesServiceStub(self.channel)

    @property
    def keeping(self) -> KeysStub:
        """Calls about keys themselves, as the operator."""
        return keys_service_pb2_grpc.KeysServiceStub(self.operator)

    async def make(self, package_id: str, *labels: str, organisation_id: str = "") -> Sequence[drm_pb2.ContentKey]:
        request = api.CreateContentKeysRequest(
            organisation_id=organisation_id or self.scene.organisation_id, package_id=package_id, labels=labels
        )
        return (await self.packager.CreateContentKeys(request)).keys

    async def film(self, *labels: str, hidden: Sequence[str] = ()) -> Film:
        """A film with a key for each label; those of `hidden` exist but are not published with it."""
        package_id = new_id("pkg")
        keys = await self.make(package_id, *(labels or ("AUDIO", "HD")))
        published = tuple(key.key_id.hex() for key in keys if key.label not in hidden)
        package = await self.scene.publish(package_id=package_id, key_ids=published)
        answer = await self.scene.play(package.asset_id)
        ticket = answer.playback.licence_url.split("/")[4]
        return Film(package_id, package.asset_id, answer.session.session_id, ticket, keys)

    async def licence(
        self, film: Film, *kids: str, ticket: str = "", **fields: Any
    ) -> api.IssueClearKeyLicenceResponse:
        """Asks for a licence for all keys of the film, or for the named ones."""
        request = api.IssueClearKeyLicenceRequest(
            ticket=ticket or film.ticket,
            package_id=film.package_id,
            kids=kids or [kid_of(key.key_id) for key in film.keys],
            **fields,
        )
        return await self.player.IssueClearKeyLicence(request)

    async def hls_key(self, film: Film, key_id: str, *, ticket: str = "") -> bytes:
        request = api.GetHlsKeyRequest(ticket=ticket or film.ticket, package_id=film.package_id, key_id=key_id)
        return bytes((await self.player.GetHlsKey(request)).key.data)


def keys_over(
    scene: Scene,
    settings: DrmSettings,
    packager: grpc.aio.Channel,
    player: grpc.aio.Channel,
    operator: grpc.aio.Channel,
) -> Keys:
    """Both services, over channels to the DRM service."""
    as_packager: Stub = drm_service_pb2_grpc.DrmServiceStub(packager)
    as_player: Stub = drm_service_pb2_grpc.DrmServiceStub(player)
    return Keys(scene, settings, as_packager, as_player, player, operator)


@contextlib.asynccontextmanager
async def with_keys(scene: Scene, **changed: Any) -> AsyncIterator[Keys]:
    """Runs the DRM service beside a policy service; `changed` are settings that are not the default."""
    settings = DrmSettings(**{**scene.settings.model_dump(), **changed})
    async with (
        running("drm", settings, wire, clock=scene.clock),
        connected(settings, "drm", CONTRACT, key="", caller="packaging") as packager,
        connected(settings, "drm", *CONTRACTS, key="") as player,
        connected(settings, "drm", *CONTRACTS) as operator,
    ):
        yield keys_over(scene, settings, packager, player, operator)
