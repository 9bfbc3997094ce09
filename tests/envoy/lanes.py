"""Two edges before one policy service, one of which asks about everything, and what each makes of a request."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reelmesh.packaging.v1 import packaging_pb2
from reelmesh.policy.v1 import policy_service_pb2 as api

from services.kit.settings import ProcessSettings
from services.policy.verdicts import DECISIONS
from tests.envoy.edge import Edge, running_edge
from tests.policy.scene import Scene, a_scene

SEGMENT = b"a segment"
FILES = ("video/1.m4s", "video/2.m4s", "audio/1.m4s", "init.mp4", "poster.jpg", "manifest.mpd", "master.m3u8")


@dataclass(frozen=True)
class Lanes:
    """Both edges, in front of one policy service and one set of published files."""

    scene: Scene
    warm: Edge
    strict: Edge
    objects: Path

    async def film(self, **fields: Any) -> tuple[api.CreatePlaybackResponse, str]:
        """A film that is published and played; the path of its package with a ticket comes along."""
        film = await self.scene.publish()
        for file in FILES:
            path = self.objects / "published" / film.package_id / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(SEGMENT)
        answer = await self.scene.play(film.asset_id, **fields)
        url = answer.playback.dash_url
        return answer, url[url.index("/p/") :].removesuffix("/manifest.mpd")

    async def both(self, path: str, method: str = "GET", **headers: str) -> tuple[str, str]:
        """What each edge makes of a request: its status, and its body or the reason of its refusal."""
        return await self.at(self.warm, path, method, **headers), await self.at(self.strict, path, method, **headers)

    async def marked_film(self, segments: int) -> tuple[api.CreatePlaybackResponse, str]:
        """A watermarked film; each of its segments says which variant it is of. As `film` otherwise."""
        mark = packaging_pb2.Watermark(colluders=2, segments=segments)
        film = await self.scene.publish(watermark=mark)
        root = self.objects / "published" / film.package_id
        for number, variant in itertools.product(range(1, segments + 1), "ab"):
            path = root / f".{variant}" / "video/1080p" / f"{number}.m4s"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(f"variant {variant}".encode())
        for file in ("video/1080p/init.mp4", "audio/en/1.m4s", "manifest.mpd"):
            (root / file).parent.mkdir(parents=True, exist_ok=True)
            (root / file).write_bytes(SEGMENT)
        return await self.watching(film.asset_id)

    async def watching(self, asset_id: str) -> tuple[api.CreatePlaybackResponse, str]:
        """Another session of a film, and the path of its package with a ticket."""
        answer = await self.scene.play(asset_id)
        url = answer.playback.dash_url
        return answer, url[url.index("/p/") :].removesuffix("/manifest.mpd")

    @staticmethod
    async def at(edge: Edge, path: str, method: str = "GET", **headers: str) -> str:
        """By hand, so that no client makes the path prettier than it is."""
        lines = [f"{method} {path} HTTP/1.1", f"host: {edge.address}", "connection: close"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        answer = (await edge.raw("\r\n".join([*lines, "", ""]).encode("latin-1"))).decode("latin-1")
        head, _, body = answer.partition("\r\n\r\n")
        status, *fields = head.split("\r\n")
        known = dict(field.split(": ", 1) for field in fields)
        if known.get("content-type") in {"application/json", "application/problem+json"}:
            with contextlib.suppress(ValueError):
                found = json.loads(body)
                found["details"][0].get("metadata", {}).pop("correlation_id", None)
                body = json.dumps(found)
        told = ("content-type", "content-length", "content-range", "cache-control", "x-reelmesh-reason")
        return "\n".join([status, *(f"{name}: {known[name]}" for name in told if name in known), body])


@contextlib.asynccontextmanager
async def some_lanes(mesh: ProcessSettings, **changed: Any) -> AsyncIterator[Lanes]:
    """Lanes in front of a policy service; `changed` is what is not as by default, see `a_scene`."""
    objects = Path(tempfile.mkdtemp(prefix="lanes-"))
    try:
        async with a_scene(mesh, **changed) as scene:
            policy, secrets = scene.settings.peer("policy"), scene.settings.secrets_dir
            async with (
                running_edge(secrets, policy=policy, objects=objects, strict=False) as warm,
                running_edge(secrets, policy=policy, objects=objects) as strict,
            ):
                lanes = Lanes(scene, warm, strict, objects)
                await warmed_up(lanes)
                yield lanes
    finally:
        shutil.rmtree(objects)


async def warmed_up(lanes: Lanes, edge: Edge | None = None) -> None:
    """Waits until an edge lets a segment through without asking."""
    _, base = await lanes.film()
    await let_through(lanes, f"{base}/video/1.m4s", edge)


async def let_through(lanes: Lanes, path: str, edge: Edge | None = None) -> None:
    """Waits until an edge serves this without asking."""
    async with asyncio.timeout(60):
        while True:
            before = asked()
            found = await lanes.at(edge or lanes.warm, path)
            if " 200 " in found and asked() == before:
                return
            await asyncio.sleep(0.05)


@contextlib.contextmanager
def nobody_asks() -> Iterator[None]:
    """Nobody asks the policy service to judge a request during the block."""
    before = asked()
    yield
    assert asked() == before


def asked() -> float:
    (metric,) = DECISIONS.collect()
    return sum(sample.value for sample in metric.samples if sample.name.endswith("_total"))


async def eventually(lanes: Lanes, path: str, wanted: str) -> None:
    """Waits until the warm edge answers so."""
    async with asyncio.timeout(30):
        while wanted not in await lanes.at(lanes.warm, path):
            await asyncio.sleep(0.01)
