"""A mesh with a film that is ready to be played."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from reelmesh.policy.v1.policy_service_pb2 import CreatePlaybackResponse

from tests.support.films import film
from tests.support.mesh import Mesh, running_mesh
from tools.reelmesh_sdk import Client


@dataclass(frozen=True, slots=True)
class Screening:
    """What there is to play."""

    mesh: Mesh
    client: Client
    asset_id: str

    async def playback(self) -> CreatePlaybackResponse:
        """A session of its own."""
        return await self.client.create_playback(self.asset_id)

    @property
    def published(self) -> Path:
        """Where all packages lie."""
        return self.mesh.data / "objects/published"


@asynccontextmanager
async def screening(master: Path | None = None, **environment: str) -> AsyncIterator[Screening]:
    """Starts the mesh and brings a film in: ten seconds of 640 x 360 unless told otherwise. `environment`: more settings."""
    with running_mesh(**environment) as mesh:
        async with mesh.client() as client:
            upload = await client.upload_file(
                master or film(seconds=10, size="640x360"), title="A film to measure with"
            )
            await client.wait_for_asset(upload.asset_id)
            yield Screening(mesh, client, upload.asset_id)
