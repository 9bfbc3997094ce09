"""One suite that every object store must pass: the local folder, and S3 (moto's server stands in for Amazon's)."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import httpx
import pytest

from services.kit.storage import ObjectStore


@pytest.fixture(params=["local", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ObjectStore:
    if request.param == "local":
        return ObjectStore.at(f"file://{tmp_path}/objects")
    bucket: str = request.getfixturevalue("s3_bucket")
    return ObjectStore.at(f"s3://{bucket}/{tmp_path.name}")


def file(folder: Path, content: bytes, name: str = "source") -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


async def read(store: ObjectStore, key: str) -> bytes:
    async with store.local_copy(key) as path:
        return path.read_bytes()


async def test_a_file_that_is_put_is_moved_and_replaces_what_was_there(store: ObjectStore, tmp_path: Path) -> None:
    for content in (b"first", b"second"):
        source = file(tmp_path, content)
        await store.put_file(source, "a/b")
        assert not source.exists()
        assert await read(store, "a/b") == content
    assert await store.size_of("a/b") == 6
    assert await store.size_of("a/c") is None


async def test_a_file_that_is_added_stays_where_it_is_and_the_first_one_is_kept(
    store: ObjectStore, tmp_path: Path
) -> None:
    first, second = file(tmp_path, b"first", "1"), file(tmp_path, b"second", "2")
    await store.add_file(first, "masters/x")
    await store.add_file(second, "masters/x")
    assert first.exists()
    assert second.exists()
    assert await read(store, "masters/x") == b"first"


async def test_a_tree_replaces_the_one_before_it(store: ObjectStore, tmp_path: Path) -> None:
    file(tmp_path / "one", b"1", "old.m4s")
    assert await store.put_tree(tmp_path / "one", "published/p") == 1
    file(tmp_path / "two", b"22", "video/1.m4s")
    file(tmp_path / "two", b"333", "manifest.mpd")
    assert await store.put_tree(tmp_path / "two", "published/p") == 5
    assert await read(store, "published/p/video/1.m4s") == b"22"
    assert await store.size_of("published/p/old.m4s") is None
    await store.delete_prefix("published/p")
    assert await store.size_of("published/p/manifest.mpd") is None
    await store.delete_prefix("published/p")


async def test_a_removal_may_be_repeated(store: ObjectStore, tmp_path: Path) -> None:
    await store.put_file(file(tmp_path, b"film"), "staging/u")
    await store.delete("staging/u")
    await store.delete("staging/u")
    assert await store.size_of("staging/u") is None


async def test_a_presigned_url_takes_a_file_where_the_store_can_make_one(store: ObjectStore) -> None:
    url = await store.presigned_put("staging/direct", timedelta(minutes=5))
    if store.is_local:
        assert url is None
        return
    assert url is not None
    async with httpx.AsyncClient(trust_env=False) as http:
        assert (await http.put(url, content=b"straight in")).status_code == 200
    assert await read(store, "staging/direct") == b"straight in"


@pytest.mark.parametrize("key", ["../outside", "a/../../outside", "/etc/passwd"])
def test_a_key_that_points_outside_is_refused(tmp_path: Path, key: str) -> None:
    with pytest.raises(ValueError, match="outside"):
        ObjectStore.at(f"file://{tmp_path}/objects").path_of(key)


def test_another_scheme_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="file:// or s3://"):
        ObjectStore.at("ftp://somewhere")
