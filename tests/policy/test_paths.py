"""What a playback path may look like."""

from __future__ import annotations

import posixpath
import re
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.kit.errors import Refusal
from services.policy import paths

TICKET = "eyJh.eyJz.c2ln"
PACKAGE = "pkg_01jzzzzzzzzzzzzzzzzzzzzzzz"
BELOW = f"/p/{TICKET}/{PACKAGE}"


def reason(path: str) -> str:
    with pytest.raises(Refusal) as caught:
        paths.read(path)
    return caught.value.reason


@pytest.mark.parametrize(
    ("file", "kind"),
    [
        ("manifest.mpd", paths.Kind.MEDIA),
        ("video/720p/seg-00001.m4s", paths.Kind.MEDIA),
        ("a_b-c.d", paths.Kind.MEDIA),
        ("licence/clearkey", paths.Kind.LICENCE),
        ("key/0123456789abcdef0123456789abcdef", paths.Kind.KEY),
        ("keys.txt", paths.Kind.MEDIA),
    ],
)
def test_what_a_player_asks_for_is_understood(file: str, kind: paths.Kind) -> None:
    assert paths.read(f"{BELOW}/{file}") == paths.PlaybackPath(TICKET, PACKAGE, file, kind)


def test_a_query_on_media_is_left_out_since_players_add_their_own() -> None:
    assert paths.read(f"{BELOW}/seg.m4s?CMCD=br%3D1").file == "seg.m4s"


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/p",
        "/p/",
        "/p//x",
        "/published/" + PACKAGE + "/manifest.mpd",
        f"/p/{PACKAGE}/manifest.mpd",
        "/v1/assets",
        "",
    ],
)
def test_a_path_without_a_ticket_is_said_to_lack_one(path: str) -> None:
    assert reason(path) == "TICKET_MISSING"


@pytest.mark.parametrize("ticket", ["x", "a.b", "a..c", "a.b.c.d", "a.b."])
def test_what_cannot_be_a_ticket_is_an_invalid_one(ticket: str) -> None:
    assert reason(f"/p/{ticket}/{PACKAGE}/manifest.mpd") == "TICKET_INVALID"


@pytest.mark.parametrize(
    "path",
    [
        f"{BELOW}/../{PACKAGE}/x",
        f"{BELOW}/..",
        f"{BELOW}/.",
        f"{BELOW}/a/./b",
        f"{BELOW}/a/../../../etc/passwd",
        f"{BELOW}/...",
        f"{BELOW}/.hidden",
        f"{BELOW}/%2e%2e/x",
        f"{BELOW}/%2E%2E%2Fx",
        f"{BELOW}/..%2fx",
        f"{BELOW}/a%00.mp4",
        f"{BELOW}/a\\..\\b",
        f"{BELOW}/a//b",
        f"{BELOW}//a",
        f"{BELOW}/a/",
        f"{BELOW}/",
        BELOW,
        f"/p/{TICKET}",
        f"/p/{TICKET}/",
        f"{BELOW}/a b",
        f"{BELOW}/a\n",
        f"{BELOW}/a\0",
        f"{BELOW}/a;b",
        f"{BELOW}/a#b",
        f"{BELOW}/ａ",
        f"{BELOW}/．．/x",
        f"/p/{TICKET}/{PACKAGE.upper()}/x",
        f"/p/{TICKET}/pkg_x/manifest.mpd",
        f"/p/{TICKET}/../manifest.mpd",
        f"{BELOW}/" + "a/" * 5000 + "a",
        f"{BELOW}/licence/other",
        f"{BELOW}/licence/clearkey/x",
        f"{BELOW}/licence/clearkey?package_id=other",
        f"{BELOW}/key/0123",
        f"{BELOW}/key/0123456789ABCDEF0123456789ABCDEF",
        f"{BELOW}/key/0123456789abcdef0123456789abcdef?ticket=other",
    ],
)
def test_paths_that_two_readers_could_read_differently_are_refused(path: str) -> None:
    assert reason(path) == "PATH_INVALID"


HOSTILE = st.lists(
    st.one_of(
        st.sampled_from(
            [
                "..",
                ".",
                "",
                "%2e%2e",
                "%2f",
                "..;",
                "\\",
                "p",
                TICKET,
                PACKAGE,
                "key",
                "licence",
                "clearkey",
                "?",
                "#",
                "~",
                "a",
            ]
        ),
        st.text(max_size=8),
    ),
    max_size=12,
)


@given(HOSTILE, st.booleans())
def test_whatever_is_let_through_stays_below_its_package(segments: list[str], with_prefix: bool) -> None:
    """However a later reader decodes or normalises the path, it names the same file."""
    path = (f"{BELOW}/" if with_prefix else "/") + "/".join(segments)
    try:
        read = paths.read(path)
    except Refusal:
        return
    below = f"/published/{read.package_id}/{read.file}"
    assert posixpath.normpath(below) == below == unquote(below)
    assert re.fullmatch(r"[A-Za-z0-9._/-]+", read.file, re.ASCII)
    assert not any(segment.startswith(".") for segment in read.file.split("/"))


@pytest.mark.parametrize(
    ("file", "allowed"),
    [
        ("manifest.mpd", {"GET", "HEAD", "OPTIONS"}),
        ("licence/clearkey", {"GET", "POST", "OPTIONS"}),
        ("key/0123456789abcdef0123456789abcdef", {"GET", "OPTIONS"}),
    ],
)
def test_each_kind_of_path_answers_to_its_own_methods(file: str, allowed: set[str]) -> None:
    asked = paths.read(f"{BELOW}/{file}")
    for method in ("GET", "HEAD", "OPTIONS", "POST", "PUT", "DELETE", "PATCH", "CONNECT", "get", ""):
        if method in allowed:
            asked.allows(method)
        else:
            with pytest.raises(Refusal, match="PATH_INVALID"):
                asked.allows(method)
