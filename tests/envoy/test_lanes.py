"""The warm lane and the cold one are of one mind, on the real policy service: two edges, one of which asks about everything."""

from __future__ import annotations

import base64
import itertools
import json
import string
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from services.kit.codewords import KEY_FILE, Code, bit_of
from services.kit.ids import new_id
from services.kit.settings import ProcessSettings
from services.policy.tickets import TICKET_KEY_FILE
from tests.envoy.edge import running_edge
from tests.envoy.lanes import FILES, Lanes, asked, eventually, nobody_asks, some_lanes, warmed_up
from tests.support import certificates
from tests.support.stores import Emptying


@pytest.fixture(scope="module")
async def lanes(session_stores: ProcessSettings, emptied: Emptying) -> AsyncIterator[Lanes]:
    """For all tests of this module: each has films of its own."""
    async with some_lanes(session_stores) as found:
        yield found
    await emptied()


async def test_a_segment_passes_without_anybody_being_asked(lanes: Lanes) -> None:
    answer, base = await lanes.film()
    with nobody_asks():
        served = await lanes.at(lanes.warm, f"{base}/video/1.m4s", x_correlation_id="warm-lane-0001")
    assert served.startswith("HTTP/1.1 200")
    assert served.endswith("a segment")
    entry = await lanes.warm.log("warm-lane-0001")
    assert entry["session"] == answer.session.session_id
    assert entry["path"] == f"/p/-/{answer.playback.package_id}/video/1.m4s"
    assert "eyJ" not in Path(lanes.warm.settings.access_log).read_text()


async def test_manifests_are_always_asked_about(lanes: Lanes) -> None:
    _, base = await lanes.film()
    before = asked()
    for file in ("manifest.mpd", "master.m3u8"):
        assert (await lanes.at(lanes.warm, f"{base}/{file}")).startswith("HTTP/1.1 200")
    assert asked() == before + 2


async def test_ranges_and_heads_are_answered_alike(lanes: Lanes) -> None:
    _, base = await lanes.film()
    for method, fields in itertools.product(("GET", "HEAD"), ({}, {"range": "bytes=2-4"}, {"range": "bytes=90-"})):
        warm, strict = await lanes.both(f"{base}/video/1.m4s", method, **fields)
        assert warm == strict


def neighbour(character: str) -> str:
    """The next character of base64url (RFC 4648 §5): at the end of a signature its bits stand for nothing."""
    alphabet = string.ascii_uppercase + string.ascii_lowercase + string.digits + "-_"
    return alphabet[(alphabet.index(character) + 1) % 64]


def part(value: object) -> str:
    """A part of a token."""
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


def misspelt(signed: Callable[..., str], said: Mapping[str, Any]) -> dict[str, str]:
    """Tickets in which one claim could be taken for another, or for what it is not."""
    return {
        "a session that says its package": signed(sub=f"{said['sub']},{said['pkg']}", pkg=None),
        "a package that says its organisation": signed(pkg=f"{said['pkg']},{said['org']}", org=None),
        "an id that says when it was issued": signed(jti=f"{said['jti']},{said['iat']}", iat=None),
        "an id with a comma": signed(jti="one,two"),
        "an id that is empty": signed(jti="", iat=None),
        "a time of issue in words": signed(iat="yesterday"),
        "an end that runs on": signed(exp=f"{said['exp']}AAA"),
        "an end that runs on with a comma": signed(exp=f"{said['exp']},AAA"),
        "a codeword that is no text": signed(wm=["AAA"]),
    }


def forged(lanes: Lanes, ticket: str) -> dict[str, str]:
    """Tickets that must not be honoured, or only for what they say, by what is odd about them."""
    head, claims, signature = ticket.split(".")
    ours = load_pem_private_key((lanes.scene.settings.secrets_dir / TICKET_KEY_FILE).read_bytes(), None)
    public = ours.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    header = jwt.get_unverified_header(ticket)
    said = jwt.decode(ticket, options={"verify_signature": False})
    now = lanes.scene.clock.now().timestamp()  # stands still, and so is never ahead of Envoy's

    def signed(
        key: Any = ours, algorithm: str = "ES256", typ: str = "playback+jwt", kid: str = "", **changes: Any
    ) -> str:
        claims = {name: value for name, value in {**said, **changes}.items() if value is not None}
        return jwt.encode(claims, key, algorithm=algorithm, headers={"kid": kid or header["kid"], "typ": typ})

    confused = f"{part({**header, 'alg': 'HS256'})}.{claims}"
    unsigned = f"{part({'alg': 'none', 'kid': header['kid'], 'typ': 'playback+jwt'})}.{claims}."
    return {
        "the good one": ticket,
        "signed again": signed(),
        "tampered header": f"{head[:-2]}AA.{claims}.{signature}",
        "tampered claims": f"{head}.{claims[:-3]}AAA.{signature}",
        "tampered signature": f"{head}.{claims}.{signature[:-4]}AAAA",
        "other idle bits": f"{ticket[:-1]}{neighbour(ticket[-1])}",
        "no signature": f"{head}.{claims}.",
        "two parts": f"{head}.{claims}",
        "four parts": f"{ticket}.{signature}",
        "alg none": unsigned,
        "alg none with a signature": unsigned + signature,
        "another algorithm": f"{confused}.{part(public.decode())}",
        "another key": signed(generate_private_key(SECP256R1())),
        "another kid": signed(kid="unknown"),
        "another type": signed(typ="JWT"),
        "another issuer": signed(iss="somebody"),
        "no issuer": signed(iss=None),
        "no session": signed(sub=None),
        "no package": signed(pkg=None),
        "no organisation": signed(org=None),
        "no id": signed(jti=None),
        "no time of issue": signed(iat=None),
        "no end": signed(exp=None),
        "ended long ago": signed(exp=now - 3600),
        "ended just now": signed(exp=now - 0.5),
        "ends in an hour": signed(exp=int(now) + 3600),
        "ends between two seconds": signed(exp=now + 3600.5),
        "an end in words": signed(exp="tomorrow"),
        "an end that is true": signed(exp=True),
        "an end beyond all numbers": signed(exp=1e400),
        "a session of several": signed(sub=[said["sub"]]),
        "an organisation in numbers": signed(org=7),
        "another package": signed(pkg=new_id("pkg")),
        "a package of several": signed(pkg=[said["pkg"]]),
        **misspelt(signed, said),
        "huge": signed(jti="x" * 5000),
        "large": signed(jti="x" * 2000),
        "doubled": f"{ticket}/{ticket}",
        "not one at all": "ticket",
        "nothing": "",
    }


async def test_both_lanes_agree_on_every_ticket(lanes: Lanes) -> None:
    answer, base = await lanes.film()
    ticket = base.split("/")[2]
    served = []
    odd = {"ends between two seconds", "an id with a comma", "a codeword that is no text"}
    for what, token in forged(lanes, ticket).items():
        path = f"/p/{token}/{answer.playback.package_id}/video/1.m4s"
        warm, strict = await lanes.both(path)
        assert warm == strict, what
        if warm.startswith("HTTP/1.1 200"):
            served.append(what)
        if warm.startswith("HTTP/1.1 200") and what not in odd:
            with nobody_asks():
                assert await lanes.at(lanes.warm, path) == warm, what
    assert set(served) == {"the good one", "signed again", "ends in an hour", "large", *odd}


def paths_about(package: str, other: str) -> list[str]:
    """Paths below a ticket, good and strange."""
    good = [f"{package}/{file}" for file in FILES]
    files = [
        *("", "/", "video", "video/", "video//1.m4s", "/video/1.m4s", "./video/1.m4s", "video/./1.m4s"),
        *(
            "video/../video/1.m4s",
            "../../masters/secret",
            "%2e%2e/%2e%2e/masters/secret",
            "video%2f1.m4s",
            "video%2F1.m4s",
        ),
        *(
            "video/%31.m4s",
            "video\\1.m4s",
            "video/1.m4s%00",
            "video/1.m4s\x7f",
            "video/.hidden",
            ".hidden",
            "video/-1.m4s",
        ),
        *("video/1.m4s?x=1", "video/1.m4s?../..", "video/1.m4s#x", "video/1.m4s;x", "video/ 1.m4s", "video/\xe9.m4s"),
        *(
            "VIDEO/1.m4s",
            "video/1.M4S",
            "video/none.m4s",
            "key/" + "a" * 32,
            "key/x",
            "licence/clearkey",
            "licence/x",
            "key",
        ),
        *(
            "licence",
            "manifest.mpd/x",
            "x/manifest.mpd",
            "video/1.m4s/..",
            "video/1.m4s/../2.m4s",
            "a" * 9000,
            "v" * 300,
        ),
    ]
    packages = [other, package.upper(), package[:-1], package + "0", "pkg_", "pkg", "%70kg_" + package[4:], ""]
    return [*good, *(f"{package}/{file}" for file in files), *(f"{one}/video/1.m4s" for one in packages)]


async def test_both_lanes_agree_on_every_path(lanes: Lanes) -> None:
    answer, base = await lanes.film()
    other, _ = await lanes.film()
    ticket = base.split("/")[2]
    for below in paths_about(answer.playback.package_id, other.playback.package_id):
        for start in ("/p/", "/P/", "//p/", "/p//"):
            warm, strict = await lanes.both(f"{start}{ticket}/{below}")
            assert warm == strict, (start, below)


async def variants(lanes: Lanes, base: str, segments: int) -> str:
    """Which variant of each segment a session gets, and that both lanes are of one mind about it."""
    found = []
    for number in range(1, segments + 1):
        warm, strict = await lanes.both(f"{base}/video/1080p/{number}.m4s")
        assert warm == strict
        found.append(warm[-1])
    return "".join(found)


async def test_both_lanes_choose_the_variant_that_the_codeword_says(lanes: Lanes) -> None:
    segments = 40
    answer, base = await lanes.marked_film(segments)
    code = Code.of(lanes.scene.settings.secret(KEY_FILE), answer.session.asset_id)
    sessions = [(answer, base), *[await lanes.watching(answer.session.asset_id) for _ in range(2)]]
    for other, path in sessions:
        codeword = code.codeword(other.session.session_id, segments)
        wanted = "".join("ab"[bit_of(codeword, number)] for number in range(1, segments + 1))
        assert await variants(lanes, path, segments) == wanted
        with nobody_asks():
            for number in range(1, segments + 1):
                warm = await lanes.at(lanes.warm, f"{path}/video/1080p/{number}.m4s")
                assert warm.endswith(f"variant {wanted[number - 1]}")


def paths_of_variants() -> list[str]:
    """Ways to ask for a variant by name, and numbers that no segment has."""
    named = [f"{variant}/video/1080p/1.m4s" for variant in (".a", ".b", "a", "b", "%2ea", "%2e/.a", "x/../.a", "./.a")]
    named += ["video/.a/1080p/1.m4s", "video/1080p/.a/1.m4s", "video/../.a/video/1080p/1.m4s"]
    numbers = ["0", "00", "01", "41", "1e1", "-1", "+1", "1.0", "0x1", "9" * 20, "9" * 35, "1/1", "init"]
    return [*named, *(f"video/1080p/{number}.m4s" for number in numbers), "video/1.m4s", "video/1080p/hq/1.m4s"]


async def test_neither_lane_shows_a_variant_to_who_asks_for_it_by_name(lanes: Lanes) -> None:
    _, base = await lanes.marked_film(40)
    for path in paths_of_variants():
        for method in ("GET", "HEAD"):
            warm, strict = await lanes.both(f"{base}/{path}", method)
            assert warm == strict, path
            assert " 200 " not in warm, path


async def test_what_is_not_marked_in_a_watermarked_film_everybody_gets_alike(lanes: Lanes) -> None:
    _, base = await lanes.marked_film(40)
    for path in ("video/1080p/init.mp4", "audio/en/1.m4s", "manifest.mpd"):
        warm, strict = await lanes.both(f"{base}/{path}")
        assert warm == strict
        assert warm.endswith("a segment")


async def test_a_client_cannot_bring_a_codeword_of_its_own(lanes: Lanes) -> None:
    _, base = await lanes.marked_film(40)
    honest = await variants(lanes, base, 12)
    for word in ("AAAAAAA", "_______"):
        claims = {"x_reelmesh_codeword": word}
        answers = [await lanes.both(f"{base}/video/1080p/{number}.m4s", **claims) for number in range(1, 13)]
        assert all(warm == strict for warm, strict in answers)
        assert "".join(warm[-1] for warm, _ in answers) == honest


async def test_both_lanes_agree_on_every_method(lanes: Lanes) -> None:
    _, base = await lanes.film()
    methods = ("GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "get", "FETCH")
    for method, file in itertools.product(methods, ("video/1.m4s", "manifest.mpd")):
        warm, strict = await lanes.both(f"{base}/{file}", method, content_length="0")
        assert warm == strict, (method, file)


async def test_what_a_client_says_of_itself_opens_nothing(lanes: Lanes) -> None:
    answer, base = await lanes.film()
    session, package = answer.session.session_id, answer.playback.package_id
    claims = {
        "x_reelmesh_session": session,
        "x_reelmesh_package": package,
        "x_reelmesh_ticket": base.split("/")[2],
        "authorization": f"Bearer {base.split('/')[2]}",
    }
    for path in (f"/p/x.y.z/{package}/video/1.m4s", f"/p/{package}/video/1.m4s", f"/published/{package}/video/1.m4s"):
        warm, strict = await lanes.both(path, **claims)
        assert warm == strict
        assert " 200 " not in warm


async def test_a_revoked_session_cannot_pass_for_another(lanes: Lanes) -> None:
    answer, base = await lanes.film()
    other, _ = await lanes.film()
    await lanes.scene.revoke(answer.session.session_id)
    await eventually(lanes, f"{base}/video/1.m4s", "SESSION_REVOKED")
    claims = {
        "x_reelmesh_session": other.session.session_id,
        "X_REELMESH_PACKAGE": other.playback.package_id,
        "connection": "x-reelmesh-session",
    }
    assert "SESSION_REVOKED" in await lanes.at(lanes.warm, f"{base}/video/1.m4s", **claims)


async def test_a_revoked_session_is_refused_with_its_reason(lanes: Lanes) -> None:
    answer, base = await lanes.film()
    _, other = await lanes.film()
    segment = f"{base}/video/1.m4s"
    assert " 200 " in await lanes.at(lanes.warm, segment)
    await lanes.scene.revoke(answer.session.session_id)
    await eventually(lanes, segment, "x-reelmesh-reason: SESSION_REVOKED")
    warm, strict = await lanes.both(segment)
    assert warm == strict
    with nobody_asks():
        assert " 200 " in await lanes.at(lanes.warm, f"{other}/video/1.m4s")


async def test_a_deleted_film_is_refused_with_its_reason(lanes: Lanes) -> None:
    answer, base = await lanes.film()
    segment = f"{base}/video/1.m4s"
    assert " 200 " in await lanes.at(lanes.warm, segment)
    await lanes.scene.delete(answer.session.asset_id)
    await eventually(lanes, segment, "x-reelmesh-reason: ASSET_WITHDRAWN")


async def test_a_new_edge_knows_who_is_barred_before_it_serves(lanes: Lanes) -> None:
    answer, base = await lanes.film()
    await lanes.scene.revoke(answer.session.session_id)
    async with running_edge(
        lanes.scene.settings.secrets_dir,
        policy=lanes.scene.settings.peer("policy"),
        objects=lanes.objects,
        strict=False,
    ) as fresh:
        await warmed_up(lanes, fresh)
        assert "SESSION_REVOKED" in await lanes.at(fresh, f"{base}/video/1.m4s")


async def test_an_edge_without_a_control_plane_asks_about_everything(lanes: Lanes) -> None:
    """It is let in by its certificate alone; with another's it is told nothing, and the authoriser refuses to answer it too."""
    _, base = await lanes.film()
    secrets = lanes.scene.settings.secrets_dir
    changes: dict[str, Any] = {"tls": certificates.folder_of("drm", secrets), "strict": False}
    async with running_edge(
        secrets, policy=lanes.scene.settings.peer("policy"), objects=lanes.objects, **changes
    ) as stranger:
        assert (await lanes.at(stranger, f"{base}/video/1.m4s")).startswith("HTTP/1.1 503")
