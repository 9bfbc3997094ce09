"""The published audit log at the edge: its checkpoint and tiles for everybody, and nothing beside them."""

from __future__ import annotations

import pytest

from tests.envoy.edge import Edge

TILE = bytes(range(32)) * 256


@pytest.fixture
def published(edge: Edge) -> None:
    files = {
        "audit/checkpoint": b"log.example\n1\n",
        "audit/tile/0/000": TILE,
        "audit/tile/0/x001/000.p/7": TILE[:224],
        "audit/tile/entries/000": b"entries",
        "audit-entries/tile/entries/000": b"entries",
    }
    for name, content in files.items():
        path = edge.parts.folder / "objects" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


@pytest.mark.usefixtures("published")
async def test_anybody_may_have_checkpoint_and_tiles(edge: Edge) -> None:
    checkpoint = await edge.http.get("/audit/checkpoint")
    assert (checkpoint.status_code, checkpoint.content) == (200, b"log.example\n1\n")
    assert checkpoint.headers["cache-control"] == "no-cache"
    tile = await edge.http.get("/audit/tile/0/000")
    assert (tile.status_code, tile.content) == (200, TILE)
    assert "immutable" in tile.headers["cache-control"]
    assert (await edge.http.get("/audit/tile/0/x001/000.p/7")).content == TILE[:224]


@pytest.mark.usefixtures("published")
@pytest.mark.parametrize(
    "path",
    [
        "/audit/tile/entries/000",
        "/audit/../audit-entries/tile/entries/000",
        "/audit/%2e%2e/audit-entries/tile/entries/000",
        "/audit/tile/0/../../../masters/secret.mp4",
        "/audit-entries/tile/entries/000",
        "/audit/",
        "/audit/tile/0/001",
    ],
)
async def test_nothing_else_is_there(edge: Edge, path: str) -> None:
    assert (await edge.http.get(path)).status_code in {400, 404}
