"""Masters are looked through by a real clamd."""

from __future__ import annotations

import hashlib
import io
import os
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.protection.gate import Finding, Ground, Master, Unreachable
from services.protection.scanners.clamav import OVERLAP, Address, ClamAv
from tests.support.clamd import EICAR, MARK, STREAM_LIMIT, Clamd, running_clamd
from tests.support.films import film

PART = 4 << 20


@pytest.fixture(scope="module")
def clamd() -> Iterator[Clamd]:
    with running_clamd() as clamd:
        yield clamd


async def found(clamd: Clamd, content: bytes, folder: Path, part: int = PART) -> Finding | None:
    path = folder / "master"
    path.write_bytes(content)
    master = Master(
        asset_id="ast_1",
        upload_id="upl_1",
        organisation_id="org_1",
        file=path,
        content_type="",
        sha256=hashlib.sha256(content).hexdigest(),
        size_bytes=len(content),
    )
    return await ClamAv(Address.of(clamd.address), part).look(master)


def zipped(names: int) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in range(names):
            archive.writestr(f"{name}.com", EICAR if names == 1 else os.urandom(64))
    return buffer.getvalue()


async def test_clean_files_pass_and_malware_is_found_in_whatever_wraps_it(clamd: Clamd, tmp_path: Path) -> None:
    video = film(2).read_bytes()
    assert await found(clamd, video, tmp_path) is None
    assert await found(clamd, b"", tmp_path) is None
    for content in (EICAR, zipped(1), video + EICAR):
        finding = await found(clamd, content, tmp_path)
        assert finding is not None
        assert (finding.ground, finding.entry) == (Ground.MALWARE, "Eicar-Signature.UNOFFICIAL")
    ours = await found(clamd, video + MARK, tmp_path)
    assert ours is not None
    assert ours.entry == "Reelmesh.Test.Mark.UNOFFICIAL"


async def test_what_clamd_could_not_look_at_is_not_clean(clamd: Clamd, tmp_path: Path) -> None:
    for content, limit in ((zipped(9), "MaxFiles"), (bytes(STREAM_LIMIT + 1), "StreamMaxLength")):
        finding = await found(clamd, content, tmp_path, part=STREAM_LIMIT * 2)
        assert finding is not None
        assert finding.ground is Ground.UNCHECKABLE
        assert finding.entry.endswith(limit)


@pytest.mark.parametrize("place", [0, PART - 10, PART - OVERLAP, 2 * PART, STREAM_LIMIT + 10])
async def test_large_masters_go_in_parts_and_nothing_falls_between_them(
    clamd: Clamd, tmp_path: Path, place: int
) -> None:
    content = bytearray(STREAM_LIMIT + (1 << 20))
    assert await found(clamd, bytes(content), tmp_path) is None
    content[place : place + len(MARK)] = MARK
    finding = await found(clamd, bytes(content), tmp_path)
    assert finding is not None
    assert finding.detail.startswith("between byte")


async def test_a_clamd_that_is_away_is_told_apart_from_a_clean_file(clamd: Clamd, tmp_path: Path) -> None:
    clamd.stop()
    try:
        with pytest.raises(Unreachable):
            await found(clamd, b"whatever", tmp_path)
        with pytest.raises(Unreachable):
            await ClamAv(Address.of("127.0.0.1:1"), PART).reach()
    finally:
        clamd.start()
    assert await found(clamd, b"whatever", tmp_path) is None


@pytest.mark.parametrize("text", ["", "clamd", "unix:relative", "host:", ":1", "host:99999"])
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="clamd is at"):
        Address.of(text)
