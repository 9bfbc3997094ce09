"""The web app as the edge serves it."""

from __future__ import annotations

import json

import pytest

from tests.envoy.conftest import INDEX
from tests.envoy.edge import Edge
from tests.envoy.parts import ASSET


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/upload",
        "/sign-in",
        "/register",
        "/forgot-password",
        "/account",
        f"/watch/{ASSET}",
        "/?utm=1",
        f"/watch/{ASSET}?t=10",
    ],
)
async def test_every_page_of_the_app_is_its_one_document(edge: Edge, path: str) -> None:
    answer = await edge.http.get(path)
    assert (answer.status_code, answer.text) == (200, INDEX)
    assert (answer.headers["content-type"], answer.headers["cache-control"]) == ("text/html; charset=utf-8", "no-cache")


async def test_pages_are_shut_in(edge: Edge) -> None:
    """They load from the same origin only, play from blob: URLs, tell nobody where they are, and are framed by nobody."""
    headers = (await edge.http.get("/")).headers
    policy = dict(directive.split(" ", 1) for directive in headers["content-security-policy"].split("; "))
    assert policy["default-src"] == "'self'"
    assert "script-src" not in policy
    assert policy["media-src"] == "'self' blob:"
    assert policy["frame-ancestors"] == "'none'"
    assert (headers["referrer-policy"], headers["x-content-type-options"]) == ("no-referrer", "nosniff")


async def test_built_files_are_kept_for_good(edge: Edge) -> None:
    answer = await edge.http.get("/assets/app-1a2b3c.js")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/javascript; charset=utf-8")
    assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"


async def test_files_at_the_root_have_their_type(edge: Edge) -> None:
    answer = await edge.http.get("/favicon.svg")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "image/svg+xml")


async def test_the_description_of_the_interface_is_there(edge: Edge) -> None:
    answer = await edge.http.get("/openapi.json")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
    assert json.loads(answer.content)["openapi"] == "3.1.0"


@pytest.mark.parametrize("path", ["/assets/", "/assets/none.js", "/none.svg", "/index.html", "/assets"])
async def test_what_is_not_there_is_a_refusal(edge: Edge, path: str) -> None:
    answer = await edge.http.get(path)
    assert (answer.status_code, answer.headers["cache-control"]) == (404, "no-store")
    assert answer.json()["details"][0]["reason"] == "ROUTE_UNKNOWN"
