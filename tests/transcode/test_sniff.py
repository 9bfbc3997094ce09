"""What a file is, by its first bytes."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import grpc
import pytest

from services.kit.errors import Refusal
from services.transcode.sniff import Container, sniff
from tests.support import clips


def zip_archive() -> bytes:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("film.mp4", "not here")
    return archive.getvalue()


def refusal_of(name: str, content: bytes) -> Refusal:
    with pytest.raises(Refusal) as caught:
        sniff(clips.pretender(name, content))
    return caught.value


@pytest.mark.parametrize(
    ("suffix", "container"),
    [("mp4", Container.MP4), ("mov", Container.MP4), ("mkv", Container.MATROSKA), ("ts", Container.MPEGTS)],
)
def test_containers_are_told_apart_by_content(suffix: str, container: Container) -> None:
    film = clips.plain(suffix=suffix)
    renamed = clips.pretender(f"{suffix}.bin", film.read_bytes())
    assert sniff(renamed).container is container
    assert sniff(renamed).size_bytes == film.stat().st_size


@pytest.mark.parametrize(
    ("suffix", "container"), [("avi", Container.AVI), ("flv", Container.FLV), ("mxf", Container.MXF)]
)
def test_older_containers_are_known(suffix: str, container: Container) -> None:
    coding = ["-c:v", "mpeg2video"] if suffix == "mxf" else ["-c:v", "copy", "-c:a", "copy"]
    target = clips.folder() / f"old.{suffix}"
    clips.ffmpeg("-i", clips.plain(), *coding, *(["-an"] if suffix == "mxf" else []), target)
    assert sniff(target).container is container


def test_an_empty_file_is_refused() -> None:
    refusal = refusal_of("empty.mp4", b"")
    assert (refusal.reason, refusal.code) == ("MASTER_EMPTY", grpc.StatusCode.INVALID_ARGUMENT)


@pytest.mark.parametrize(("name", "content"), clips.playlists("http://127.0.0.1:9/x"))
def test_a_playlist_in_disguise_is_refused(name: str, content: bytes) -> None:
    """ffmpeg would open what the list names: a local file, or a server of the stranger's choice."""
    refusal = refusal_of(name, content)
    assert refusal.reason == "MASTER_PLAYLIST"
    assert refusal.metadata["looks_like"]


@pytest.mark.parametrize(
    ("content", "looks_like"),
    [
        (zip_archive(), "ZIP archive"),
        (b"<!DOCTYPE html><html><body>film</body></html>", "web page"),
        (b'<svg xmlns="http://www.w3.org/2000/svg"><image href="file:///etc/passwd"/></svg>', "SVG picture"),
        (b'<?xml version="1.0"?><svg><image/></svg>', "SVG picture"),
        (b"\x89PNG\r\n\x1a\n" + bytes(100), "PNG picture"),
        (b"\xff\xd8\xff\xe0" + bytes(100), "JPEG picture"),
        (b"RIFF\x00\x00\x00\x00WEBPVP8 ", "still picture"),
        (b"\x00\x00\x00\x18ftypheic" + bytes(100), "still picture"),
        (b"%PDF-1.7\n", "PDF document"),
        (b"\x7fELF" + bytes(60), "program"),
        (b"once upon a time", "text"),
        (bytes(range(256)) * 4, "unknown"),
        (b"\x00", "unknown"),
    ],
)
def test_what_is_no_film_is_refused_by_name(content: bytes, looks_like: str) -> None:
    refusal = refusal_of("film.mp4", content)
    assert (refusal.reason, refusal.metadata) == ("MASTER_NOT_MEDIA", {"looks_like": looks_like})


@pytest.mark.parametrize("share", [0.99, 0.5, 0.01])
def test_an_mp4_that_ends_early_is_refused(share: float) -> None:
    for film in (clips.plain(), clips.faststart()):
        with pytest.raises(Refusal, match="MASTER_TRUNCATED"):
            sniff(clips.cut(film, share))


def test_a_matroska_that_ends_early_is_refused() -> None:
    with pytest.raises(Refusal, match="MASTER_TRUNCATED"):
        sniff(clips.cut(clips.plain(suffix="mkv"), 0.9))


def test_rubbish_after_the_last_box_does_no_harm() -> None:
    for rubbish in (bytes(100), b"\xff" * 100, b"tail"):
        film = clips.pretender("tail.mp4", clips.plain().read_bytes() + rubbish)
        assert sniff(film).container is Container.MP4


def test_a_header_that_says_nothing_is_not_trusted(tmp_path: Path) -> None:
    """Sizes of zero and sizes beyond the file must neither loop nor crash."""
    for content in (
        b"\x00\x00\x00\x00ftyp",
        b"\x00\x00\x00\x01ftyp" + bytes(8),
        b"\x00\x00\x00\x01ftyp" + b"\xff" * 8,
        b"\x1a\x45\xdf\xa3",
        b"\x1a\x45\xdf\xa3\x00",
        b"RIFF\x10\x00\x00\x00AVI ",
    ):
        file = tmp_path / "film"
        file.write_bytes(content)
        with pytest.raises(Refusal):
            sniff(file)
