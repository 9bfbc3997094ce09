"""What is put in quarantine comes out as it was, or not at all."""

from __future__ import annotations

import hashlib
import os
import secrets
from pathlib import Path

import pytest

from services.kit.storage import ObjectStore
from services.protection.scanners.domain import quarantine_key
from services.protection.scanners.quarantine import EvidenceDamaged, Quarantine

KEY = secrets.token_bytes(32)
MIB = 1 << 20


@pytest.fixture
def objects(tmp_path: Path) -> ObjectStore:
    return ObjectStore.at(f"file://{tmp_path}/objects")


def a_file(folder: Path, size: int) -> tuple[Path, str, bytes]:
    content = os.urandom(size)
    path = folder / f"{size}.bin"
    path.write_bytes(content)
    return path, hashlib.sha256(content).hexdigest(), content


@pytest.mark.parametrize("size", [0, 1, MIB - 1, MIB, MIB + 1, 3 * MIB])
async def test_a_file_of_any_size_comes_back_as_it_was(objects: ObjectStore, tmp_path: Path, size: int) -> None:
    path, sha256, content = a_file(tmp_path, size)
    quarantine = Quarantine(objects, KEY)
    sealed_sha256 = await quarantine.put(path, sha256)
    sealed = objects.path_of(quarantine_key(sha256)).read_bytes()
    assert hashlib.sha256(sealed).hexdigest() == sealed_sha256
    assert len(content) < MIB - 1 or content[:64] not in sealed
    assert b"".join([chunk async for chunk in quarantine.read(sha256)]) == content
    await quarantine.restore(sha256, "masters/back")
    assert objects.path_of("masters/back").read_bytes() == content
    assert await quarantine.put(path, sha256) == sealed_sha256  # what lies there is not sealed anew
    assert not list(objects.path_of("quarantine/.partial").iterdir())


async def test_what_was_changed_cut_short_or_sealed_by_another_is_not_opened(
    objects: ObjectStore, tmp_path: Path
) -> None:
    path, sha256, content = a_file(tmp_path, 3 * MIB)
    quarantine = Quarantine(objects, KEY)
    await quarantine.put(path, sha256)
    place = objects.path_of(quarantine_key(sha256))
    whole = place.read_bytes()
    sealed, header = MIB + 16, 40
    first, second = whole[header : header + sealed], whole[header + sealed : header + 2 * sealed]
    damaged = {
        "a bit": whole[:-5] + bytes([whole[-5] ^ 1]) + whole[-4:],
        "cut at a chunk": whole[: header + 2 * sealed],
        "cut within one": whole[:-100],
        "chunks exchanged": whole[:header] + second + first + whole[header + 2 * sealed :],
        "another header": b"x" + whole[1:],
    }
    for what, changed in damaged.items():
        place.write_bytes(changed)
        with pytest.raises(EvidenceDamaged):
            await quarantine.verified(sha256)
        assert what
    assert await quarantine.put(path, sha256)  # what cannot be opened is sealed anew
    assert b"".join([chunk async for chunk in quarantine.read(sha256)]) == content
    with pytest.raises(EvidenceDamaged):
        await Quarantine(objects, secrets.token_bytes(32)).verified(sha256)


async def test_only_the_file_that_is_meant_is_put_there(objects: ObjectStore, tmp_path: Path) -> None:
    path, _, _ = a_file(tmp_path, 100)
    quarantine = Quarantine(objects, KEY)
    with pytest.raises(EvidenceDamaged):
        await quarantine.put(path, "0" * 64)
    assert not await quarantine.holds("0" * 64)


async def test_an_object_store_elsewhere_keeps_it_as_well(s3_bucket: str, tmp_path: Path) -> None:
    objects = ObjectStore.at(f"s3://{s3_bucket}/quarantined")
    path, sha256, content = a_file(tmp_path, 2 * MIB + 5)
    quarantine = Quarantine(objects, KEY)
    assert await quarantine.put(path, sha256) == await quarantine.verified(sha256)
    assert path.exists()
    await quarantine.restore(sha256, f"masters/{sha256}")
    async with objects.local_copy(f"masters/{sha256}") as back:
        assert back.read_bytes() == content
    await quarantine.destroy(sha256)
    assert not await quarantine.holds(sha256)
