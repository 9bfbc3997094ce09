"""Preview URLs: what they lead to, for how long, from where, and every way to bend one that we could think of."""

from __future__ import annotations

import base64
import json
import string
from datetime import UTC, datetime, timedelta

import pytest
from google.protobuf.duration_pb2 import Duration
from hypothesis import given, settings
from hypothesis import strategies as st
from reelmesh.packaging.v1.events_pb2 import PackagePublished
from reelmesh.policy.v1 import tokens_pb2, tokens_service_pb2_grpc
from reelmesh.policy.v1 import tokens_service_pb2 as api

from services.kit.clock import FixedClock
from services.kit.errors import Refusal
from services.kit.ids import new_id
from services.policy.previews import Previews, is_open, new_key_file
from services.policy.tokens.wiring import CONTRACT
from tests.policy.scene import Scene, eventually, refused
from tests.support.keys import with_api_key
from tests.support.running import connected

NOW = datetime(2026, 11, 28, 12, 0, tzinfo=UTC)
PACKAGE, OTHER = "pkg_01jzzzzzzzzzzzzzzzzzzzzzzz", "pkg_01jzzzzzzzzzzzzzzzzzzzzzzy"
KEYS = new_key_file()
CLOCK = FixedClock(NOW)
PREVIEWS = Previews(KEYS, CLOCK)


def signed(file: str = "poster.jpg", *, lifetime: float = 600, network: str = "", folder: bool = False) -> str:
    return PREVIEWS.path(PACKAGE, file, lifetime, network, folder=folder)[0]


def reason(path: str, *, address: str = "203.0.113.7", method: str = "GET", previews: Previews = PREVIEWS) -> str:
    try:
        previews.read(method, path, address)
    except Refusal as refusal:
        return refusal.reason
    return ""


GOOD, THUMBNAILS = signed(), signed("thumbnails/index.vtt", folder=True)


def test_a_url_leads_to_its_file() -> None:
    preview = PREVIEWS.read("GET", GOOD, "")
    assert (preview.package_id, preview.file) == (PACKAGE, "poster.jpg")


def test_thumbnails_bring_their_sheets_along_and_nothing_else() -> None:
    below = THUMBNAILS.removesuffix("index.vtt")
    assert [reason(below + file) for file in ("index.vtt", "1.jpg", "27.jpg")] == ["", "", ""]
    for other in ("main.m3u8", "1.mp4", "more/1.jpg", "1.jpg/2.jpg", "x", "1.jpg.mp4"):
        assert reason(below + other) == "PREVIEW_URL_INVALID"
    assert reason(THUMBNAILS.replace("thumbnails/index.vtt", "poster.jpg")) == "PREVIEW_URL_INVALID"


def test_a_url_for_one_file_is_good_for_no_other() -> None:
    for other in ("poster2.jpg", "a/poster.jpg", "thumbnails/1.jpg", "poster.png", "manifest.mpd"):
        assert reason(GOOD.replace("poster.jpg", other)) == "PREVIEW_URL_INVALID"
    assert reason(GOOD.replace(PACKAGE, OTHER)) == "PREVIEW_URL_INVALID"


def test_a_url_ends_at_its_second() -> None:
    clock = FixedClock(NOW)
    previews = Previews(KEYS, clock)
    clock.advance(timedelta(seconds=599))
    assert reason(GOOD, previews=previews) == ""
    clock.advance(timedelta(seconds=1))
    assert reason(GOOD, previews=previews) == "PREVIEW_URL_EXPIRED"


@pytest.mark.parametrize("lifetime", [0, -1, 59, 59.999, 3600.001, 3601, 10**9, float("nan"), float("inf")])
def test_a_lifetime_is_a_minute_to_an_hour(lifetime: float) -> None:
    with pytest.raises(Refusal) as caught:
        signed(lifetime=lifetime)
    assert caught.value.reason == "PREVIEW_LIFETIME_INVALID"
    assert caught.value.metadata == {"least_seconds": "60", "most_seconds": "3600"}
    assert signed(lifetime=60)
    assert signed(lifetime=3600)


def test_a_bound_url_works_from_its_network_only() -> None:
    for network, inside, outside in (
        ("203.0.113.7/32", "203.0.113.7", "203.0.113.8"),
        ("203.0.113.0/24", "203.0.113.255", "203.0.114.0"),
        ("2001:db8::/32", "2001:db8:1::1", "2001:db9::1"),
        ("203.0.113.0/24", "::ffff:203.0.113.9", "::ffff:203.0.114.9"),
    ):
        path = signed(network=network)
        assert reason(path, address=inside) == ""
        for address in (outside, "", "nonsense", "2001:db8::%eth0"):
            assert reason(path, address=address) == "PREVIEW_URL_ELSEWHERE"


def test_only_reading_makes_sense() -> None:
    assert [reason(GOOD, method=method) for method in ("GET", "HEAD", "OPTIONS")] == ["", "", ""]
    assert {reason(GOOD, method=method) for method in ("POST", "PUT", "DELETE", "", "get")} == {"PATH_INVALID"}


TOKEN = GOOD.split("/")[2]
BASE = f"/v/{TOKEN}/{PACKAGE}"
UNCLEAN = {
    "a segment up": f"{BASE}/../poster.jpg",
    "many up": f"{BASE}/../../../etc/passwd",
    "up at the end": f"{BASE}/poster.jpg/..",
    "a segment that stays": f"{BASE}/./poster.jpg",
    "two slashes": f"{BASE}//poster.jpg",
    "two slashes before": f"//v/{TOKEN}/{PACKAGE}/poster.jpg",
    "a slash at the end": f"{BASE}/poster.jpg/",
    "nothing": f"{BASE}/",
    "no file": BASE,
    "an encoded slash": f"{BASE}/a%2fposter.jpg",
    "an encoded slash in capitals": f"{BASE}/a%2Fposter.jpg",
    "encoded dots": f"{BASE}/%2e%2e/poster.jpg",
    "half encoded dots": f"{BASE}/.%2e/poster.jpg",
    "encoded twice": f"{BASE}/%252e%252e/poster.jpg",
    "an encoded letter": f"{BASE}/%70oster.jpg",
    "an encoded NUL": f"{BASE}/poster.jpg%00",
    "an encoded NUL before the end": f"{BASE}/poster%00.jpg",
    "a NUL": f"{BASE}/poster\0.jpg",
    "a backslash": f"{BASE}/a\\poster.jpg",
    "an encoded backslash": f"{BASE}/a%5cposter.jpg",
    "an overlong slash": f"{BASE}/a%c0%afposter.jpg",
    "overlong dots": f"{BASE}/%c0%ae%c0%ae/poster.jpg",
    "a percent sign alone": f"{BASE}/poster%.jpg",
    "a hidden file": f"{BASE}/.poster.jpg",
    "a parameter": f"{BASE}/poster.jpg;a=b",
    "a query": f"{GOOD}?a=b",
    "an empty query": f"{GOOD}?",
    "a fragment": f"{GOOD}#a",
    "a space": f"{BASE}/poster .jpg",
    "a line end": f"{GOOD}\n",
    "a carriage return": f"{GOOD}\r",
    "a letter of another script": f"{BASE}/pоster.jpg",
    "a full-width dot": f"{BASE}/poster．jpg",
    "a colon": f"{BASE}/c:poster.jpg",
    "a tilde": f"{BASE}/~poster.jpg",
    "a star": f"{BASE}/*.jpg",
    "a very long name": f"{BASE}/{'a' * 1024}.jpg",
    "a very long path": f"{BASE}/{'a/' * 1000}poster.jpg",
}


@pytest.mark.parametrize("path", UNCLEAN.values(), ids=UNCLEAN.keys())
def test_a_path_that_is_not_plain_is_refused(path: str) -> None:
    """Before its MAC is looked at; and nothing like it can be signed."""
    assert reason(path) in {"PATH_INVALID", "PREVIEW_URL_INVALID"}
    assert not is_open(path.removeprefix(BASE).removeprefix("/")) or path in {f"{BASE}/", BASE} or "//v/" in path


@pytest.mark.parametrize(
    "file",
    [
        "manifest.mpd",
        "master.m3u8",
        "video/1.m4s",
        "init.mp4",
        "audio.m4a",
        "poster",
        "jpg",
        ".jpg",
        "a.JPG",
        "key/00.jpg.m4s",
    ],
)
def test_what_may_be_encrypted_is_never_shown(file: str) -> None:
    assert not is_open(file)
    assert reason(signed(file)) in {"PREVIEW_URL_INVALID", "PATH_INVALID"}, "even with a MAC of ours"


@settings(max_examples=500, deadline=None)
@given(st.integers(0, len(GOOD) - 1), st.sampled_from(string.printable))
def test_one_changed_character_spoils_a_url(position: int, letter: str) -> None:
    changed = GOOD[:position] + letter + GOOD[position + 1 :]
    if changed != GOOD:
        assert reason(changed) in {"PATH_INVALID", "PREVIEW_URL_INVALID"}


@settings(max_examples=500, deadline=None)
@given(st.integers(0, len(THUMBNAILS) - len("/index.vtt")), st.sampled_from(string.printable))
def test_of_thumbnails_too_but_for_the_name_in_the_folder(position: int, letter: str) -> None:
    changed = THUMBNAILS[:position] + letter + THUMBNAILS[position + 1 :]
    if changed != THUMBNAILS:
        assert reason(changed) in {"PATH_INVALID", "PREVIEW_URL_INVALID"}


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=60))
def test_what_was_not_signed_is_refused_whatever_it_is(text: str) -> None:
    assert reason(f"/v/{text}") in {"PATH_INVALID", "PREVIEW_URL_INVALID"}
    assert reason(f"{BASE}/{text}") in {"PATH_INVALID", "PREVIEW_URL_INVALID"}


class TestKeys:
    def test_an_old_key_checks_while_a_new_one_signs(self) -> None:
        old, new = json.loads(KEYS)["keys"], json.loads(new_key_file())["keys"]
        after = Previews(json.dumps({"keys": new + old}).encode(), CLOCK)
        assert reason(GOOD, previews=after) == ""
        fresh = after.path(PACKAGE, "poster.jpg", 600, "", folder=False)[0]
        assert fresh.startswith(f"/v/{new[0]['key_id']}.")
        assert reason(fresh) == "PREVIEW_URL_INVALID", "which those who do not know it yet refuse"
        gone = Previews(json.dumps({"keys": new}).encode(), CLOCK)
        assert reason(GOOD, previews=gone) == "PREVIEW_URL_INVALID"

    def test_the_name_of_one_key_with_the_secret_of_another_is_refused(self) -> None:
        entries = json.loads(KEYS)["keys"] + json.loads(new_key_file())["keys"]
        both = Previews(json.dumps({"keys": entries}).encode(), CLOCK)
        name, other = (entry["key_id"] for entry in entries)
        assert reason(GOOD.replace(name, other), previews=both) == "PREVIEW_URL_INVALID"

    def test_an_unknown_key_of_zeros_is_no_way_in(self) -> None:
        """What stands in for an unknown key, so that it takes as long, is known to everybody."""
        entry = {"key_id": "zero", "secret": base64.urlsafe_b64encode(bytes(32)).decode()}
        forger = Previews(json.dumps({"keys": [entry]}).encode(), CLOCK)
        assert reason(forger.path(PACKAGE, "poster.jpg", 600, "", folder=False)[0]) == "PREVIEW_URL_INVALID"

    @pytest.mark.parametrize(
        "content",
        [
            b"",
            b"{}",
            b'{"keys": []}',
            b'{"keys": [{"key_id": "a", "secret": "YQ=="}]}',
            b'{"keys": [{"key_id": "A.b", "secret": "' + base64.b64encode(bytes(32)) + b'"}]}',
        ],
    )
    def test_a_file_that_is_wrong_is_refused_at_start(self, content: bytes) -> None:
        with pytest.raises(ValueError, match=r"preview_keys\.json"):
            Previews(content, CLOCK)


async def published(scene: Scene) -> PackagePublished:
    """A package that the service knows of."""
    film = await scene.publish()
    await scene.play(film.asset_id)
    return film


class TestTheCall:
    async def url(self, scene: Scene, package_id: str, key: str | None = None, **fields: object) -> str:
        kind = fields.pop("kind", tokens_pb2.PREVIEW_KIND_POSTER)
        async with connected(scene.settings, "policy", CONTRACT, key=key) as channel:
            stub = tokens_service_pb2_grpc.TokensServiceStub(channel)
            request = api.CreatePreviewUrlRequest(package_id=package_id, kind=kind, **fields)  # type: ignore[arg-type]
            answer: api.CreatePreviewUrlResponse = await stub.CreatePreviewUrl(request)
        assert answer.expire_time.ToDatetime(UTC) > scene.clock.now()
        return answer.url

    async def test_a_poster_is_shown_without_a_session(self, scene: Scene) -> None:
        film = await published(scene)
        url = await self.url(scene, film.package_id)
        verdict = await scene.edge.check(url)
        assert verdict.allowed
        assert verdict.headers[":path"] == f"/published/{film.package_id}/poster.jpg"
        assert "x-reelmesh-session" not in verdict.headers
        assert "x-reelmesh-session" in verdict.answer.ok_response.headers_to_remove

    async def test_thumbnails_and_captions_too(self, scene: Scene) -> None:
        film = await published(scene)
        index = await self.url(scene, film.package_id, kind=tokens_pb2.PREVIEW_KIND_THUMBNAILS)
        assert index.endswith("/thumbnails/index.vtt")
        assert (await scene.edge.check(index.replace("index.vtt", "1.jpg"))).allowed
        captions = await self.url(scene, film.package_id, kind=tokens_pb2.PREVIEW_KIND_FILE, path="text/en.vtt")
        assert (await scene.edge.check(captions)).allowed

    @pytest.mark.parametrize(
        "path",
        [
            "",
            "manifest.mpd",
            "video/1.m4s",
            "../other/poster.jpg",
            "a//b.jpg",
            "/poster.jpg",
            "a%2fb.jpg",
            "poster.jpg\0",
            "a\\b.jpg",
        ],
    )
    async def test_other_files_are_not(self, scene: Scene, path: str) -> None:
        film = await published(scene)
        refusal = await refused(self.url(scene, film.package_id, kind=tokens_pb2.PREVIEW_KIND_FILE, path=path))
        assert (refusal.reason, refusal.metadata["package_id"]) == ("PREVIEW_NOT_FOUND", film.package_id)

    async def test_a_lifetime_beyond_an_hour_is_refused(self, scene: Scene) -> None:
        film = await published(scene)
        for seconds in (59, 3601):
            refusal = await refused(self.url(scene, film.package_id, lifetime=Duration(seconds=seconds)))
            assert refusal.reason == "PREVIEW_LIFETIME_INVALID"

    async def test_a_bound_url_is_refused_elsewhere(self, scene: Scene) -> None:
        film = await published(scene)
        url = await self.url(scene, film.package_id, network="203.0.113.0/24")
        assert (await scene.edge.check(url, address="203.0.113.9")).allowed
        assert (await scene.edge.check(url, address="203.0.114.9")).reason == "PREVIEW_URL_ELSEWHERE"
        for odd in ("203.0.113.1/24", "nonsense", "::1%eth0"):
            assert (await refused(self.url(scene, film.package_id, network=odd))).reason == "NETWORK_INVALID"

    async def test_a_deleted_film_is_shown_no_more(self, scene: Scene) -> None:
        film = await published(scene)
        url = await self.url(scene, film.package_id)
        await scene.delete(film.asset_id)
        await eventually(scene.edge, url, "ASSET_WITHDRAWN")
        assert (await refused(self.url(scene, film.package_id))).reason == "ASSET_WITHDRAWN"

    async def test_a_package_of_others_is_not_known(self, scene: Scene) -> None:
        film = await scene.publish(organisation_id=new_id("org"))
        for package_id in (film.package_id, new_id("pkg")):
            assert (await refused(self.url(scene, package_id))).reason == "PREVIEW_NOT_FOUND"

    async def test_it_takes_a_permission(self, scene: Scene) -> None:
        film = await published(scene)
        for permissions, wanted in ((["playback.create"], "PERMISSION_MISSING"), (["previews.create"], "")):
            with with_api_key(scene.settings, organisation_id=scene.organisation_id, permissions=permissions) as key:
                if wanted:
                    assert (await refused(self.url(scene, film.package_id, key))).reason == wanted
                else:
                    assert await self.url(scene, film.package_id, key)
