"""FairPlay on the running service: a deployment of ours in its folder of secrets, and a device that asks."""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
from google.api.httpbody_pb2 import HttpBody
from google.protobuf.field_mask_pb2 import FieldMask
from reelmesh.drm.v1 import fairplay_service_pb2 as api
from reelmesh.drm.v1 import fairplay_service_pb2_grpc, licences_pb2, licences_service_pb2

from services.kit.settings import ProcessSettings
from tests.drm.scene import Film, Keys, with_keys
from tests.policy.scene import Scene
from tests.support.fairplay_client import Asking, Device
from tests.support.fairplay_provider import D_FUNCTION, Provider, new_provider

__all__ = ["FairPlay", "Film", "with_fairplay"]


@dataclass(frozen=True)
class FairPlay:
    """The running service, and who plays.

    Attributes:
        provider: of the deployment.
        folder: where its files are.
    """

    keys: Keys
    provider: Provider
    folder: Path

    @property
    def stub(self) -> fairplay_service_pb2_grpc.FairPlayServiceAsyncStub:
        """Calls as a player."""
        return fairplay_service_pb2_grpc.FairPlayServiceStub(self.keys.channel)

    def ask(self, film: Film, label: str = "HD", *, device: Device | None = None, **fields: Any) -> Asking:
        """A device asks for the key of a kind of track, as the playlist names it."""
        (key,) = (key for key in film.keys if key.label == label)
        made = fields.pop("made", self.keys.scene.clock.now().timestamp())
        return (device or self.provider.device()).ask(f"skd://{key.key_id.hex()}".encode(), made=made, **fields)

    async def send(
        self, film: Film, body: bytes, content_type: str = "application/octet-stream", *, ticket: str = ""
    ) -> HttpBody:
        """What the player is answered."""
        request = api.AcquireFairPlayLicenceRequest(
            ticket=ticket or film.ticket,
            package_id=film.package_id,
            challenge=HttpBody(content_type=content_type, data=body),
        )
        return (await self.stub.AcquireFairPlayLicence(request)).licence

    async def ckc(self, film: Film, body: bytes, content_type: str = "application/octet-stream") -> bytes:
        """The CKC that a player gets."""
        answer = await self.send(film, body, content_type)
        assert answer.content_type == "application/octet-stream", answer.data
        return bytes(answer.data)

    async def refused(
        self, film: Film, body: bytes, content_type: str = "application/octet-stream", *, ticket: str = ""
    ) -> tuple[int, str, dict[str, str]]:
        """HTTP status, reason and metadata of a refusal."""
        answer = await self.send(film, body, content_type, ticket=ticket)
        assert answer.content_type.startswith("application/problem+json; status="), answer.content_type
        problem = json.loads(answer.data)
        info = problem["details"][0]
        metadata = {name: value for name, value in info["metadata"].items() if name != "correlation_id"}
        return problem["status"], info["reason"], metadata

    async def policy(self, **fields: Any) -> None:
        """Changes the licence policy."""
        request = licences_service_pb2.UpdateLicencePolicyRequest(
            policy=licences_pb2.LicencePolicy(**fields), update_mask=FieldMask(paths=list(fields))
        )
        await self.keys.licences.UpdateLicencePolicy(request)

    async def sql(self, statement: str, *values: object) -> list[Any]:
        """Asks the database as the service."""
        settings = self.keys.settings
        connection = await asyncpg.connect(host=settings.database_host, user="drm", database=settings.database_name)
        try:
            return list(await connection.fetch(statement, *values))
        finally:
            await connection.close()


def own_secrets(settings: ProcessSettings, folder: Path) -> tuple[Path, Provider]:
    """A folder of secrets with those of all tests and a deployment of its own."""
    secrets, provider = folder / "secrets", new_provider()
    secrets.mkdir()
    for file in settings.secrets_dir.iterdir():
        (secrets / file.name).symlink_to(file.resolve())
    provider.put(secrets / "fairplay")
    return secrets, provider


@contextlib.asynccontextmanager
async def with_fairplay(scene: Scene, folder: Path, **changed: Any) -> AsyncIterator[FairPlay]:
    """Runs the DRM service with a deployment; `changed` are settings that are not the default.

    Args:
        scene: the policy service.
        folder: for secrets of the service's own.
    """
    secrets, provider = own_secrets(scene.settings, folder)
    settings = {"secrets_dir": secrets, "drm_fairplay_d_function": D_FUNCTION, "data_dir": folder, **changed}
    async with with_keys(scene, **settings) as keys:
        before = (await keys.licences.GetLicencePolicy(licences_service_pb2.GetLicencePolicyRequest())).policy
        before.etag = ""
        yield FairPlay(keys, provider, secrets / "fairplay")
        # The organisation is that of all tests.
        await keys.licences.UpdateLicencePolicy(licences_service_pb2.UpdateLicencePolicyRequest(policy=before))
