"""Which credential a request shows, and that nothing in it can confuse whoever looks."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.kit.errors import Refusal
from services.policy.bearers import EdgeRequest, Shown, shown
from services.policy.cat.renewal import Carrier

PACKAGE = "pkg_01jzzzzzzzzzzzzzzzzzzzzzzz"
TOKEN, OTHER = "t" * 40, "o" * 40
PATH = f"/p/{PACKAGE}/video/1.m4s"


def found(path: str = PATH, **headers: str) -> Shown | None:
    return shown(EdgeRequest("GET", path, headers={name.replace("_", "-"): value for name, value in headers.items()}))


def what(path: str = PATH, **headers: str) -> tuple[str, bool, Carrier] | None:
    one = found(path, **headers)
    return None if one is None else (one.credential, one.is_ticket, one.carrier)


def test_a_ticket_in_the_path_is_left_to_the_judge() -> None:
    assert found(f"/p/a.b.c/{PACKAGE}/x", cta_common_access_token=TOKEN) is None
    for path in ("", "/", "/p", "/p/", "/x", "/v/x", f"/P/{PACKAGE}/x", "/p//x", PATH):
        assert found(path) is None


def test_the_path_comes_first_then_header_cookies_and_query() -> None:
    everything = {
        "cta_common_access_token": TOKEN,
        "cookie": f"reelmesh_ticket=a.b.c; CTA-Common-Access-Token={OTHER}",
    }
    query = f"{PATH}?CAT={'q' * 40}"
    assert what(f"/p/{'p' * 40}/{PACKAGE}/x?CAT=q", **everything) == ("p" * 40, False, Carrier.PATH)
    assert what(query, **everything) == (TOKEN, False, Carrier.HEADER)
    assert what(query, cookie=everything["cookie"]) == (OTHER, False, Carrier.COOKIE)
    assert what(query, cookie="reelmesh_ticket=a.b.c") == ("a.b.c", True, Carrier.COOKIE)
    assert what(query) == ("q" * 40, False, Carrier.QUERY)


@pytest.mark.parametrize(
    ("cookies", "credential"),
    [
        (f"CTA-Common-Access-Token={TOKEN}", TOKEN),
        (f"cta-common-access-token={TOKEN}", TOKEN),
        (f'a=b;CTA-Common-Access-Token="{TOKEN}";c', TOKEN),
        (f"CTA-Common-Access-Token={TOKEN}; CTA-Common-Access-Token={OTHER}", TOKEN),
        (f"xCTA-Common-Access-Token={TOKEN}", None),
        ("CTA-Common-Access-Token", None),
        ("CTA-Common-Access-Token=", None),
        (";;;=;==", None),
    ],
)
def test_cookies(cookies: str, credential: str | None) -> None:
    one = found(cookie=cookies)
    assert (one.credential if one else None) == credential


def test_cookies_that_our_edge_picked_count_before_others() -> None:
    assert what(x_reelmesh_cookies=f"CTA-Common-Access-Token={TOKEN}", cookie=f"CTA-Common-Access-Token={OTHER}") == (
        TOKEN,
        False,
        Carrier.COOKIE,
    )


def test_tokens_see_the_path_without_the_token_whichever_way_it_came() -> None:
    for one in (found(f"/p/{TOKEN}{PATH[2:]}"), found(cta_common_access_token=TOKEN), found(f"{PATH}?CAT={TOKEN}")):
        assert one is not None
        assert one.asked.url.path == PATH
        assert (one.playback.package_id, one.playback.file) == (PACKAGE, "video/1.m4s")


def test_keys_are_asked_for_without_any_other_query() -> None:
    key = f"/p/{PACKAGE}/key/{'0' * 32}"
    assert found(f"{key}?CAT={TOKEN}") is not None
    with pytest.raises(Refusal):
        found(f"{key}?CAT={TOKEN}&a=b")


_TEXT = st.text(max_size=30) | st.sampled_from(
    ["..", "%2e", "//", "\\", "\0", "?", "#", PACKAGE, TOKEN, "CAT=", "&", ";", "="]
)


@settings(max_examples=500, deadline=None)
@given(st.lists(_TEXT, max_size=6), st.lists(_TEXT, max_size=4), st.sampled_from(["/", "", "&", "; "]))
def test_nothing_raises_but_a_refusal(path: list[str], cookies: list[str], between: str) -> None:
    with contextlib.suppress(Refusal):
        found("/p/" + between.join(path), cookie=between.join(cookies), cta_common_access_token="".join(cookies[:1]))
