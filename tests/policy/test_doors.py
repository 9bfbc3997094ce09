"""The ways into a package other than a ticket in the path, on the running service."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

import pytest
from google.protobuf.duration_pb2 import Duration
from reelmesh.policy.v1 import policy_service_pb2, tokens_pb2, tokens_service_pb2_grpc
from reelmesh.policy.v1 import tokens_service_pb2 as api

from services.kit.database import Database
from services.kit.ids import new_id
from services.kit.settings import ProcessSettings
from services.policy.cat import cose
from services.policy.cat.cose import Algorithm, KeyRing
from services.policy.cat.keys import CAT_KEYS_FILE, ISSUER, key_ring
from services.policy.decision.territories import Territories
from services.policy.tokens.wiring import CONTRACT
from services.policy.upkeep import Upkeep
from tests.policy.scene import HD, Scene, eventually, refused
from tests.policy.test_edge import a_replica
from tests.support.keys import with_api_key
from tests.support.running import connected

NAME = "cta-common-access-token"
# Claims go by number here: 1 iss, 2 sub, 4 exp, 7 cti, 308 catreplay, 310 catv, 312 catu, 313 catm, 315 cath, 322 catif, 323 catr.


async def call(scene: Scene, method: str, request: Any, key: str | None = None) -> Any:
    async with connected(scene.settings, "policy", CONTRACT, key=key) as channel:
        return await getattr(tokens_service_pb2_grpc.TokensServiceStub(channel), method)(request)


async def token_for(scene: Scene, session_id: str, **fields: Any) -> api.CreateAccessTokenResponse:
    answer: api.CreateAccessTokenResponse = await call(
        scene, "CreateAccessToken", api.CreateAccessTokenRequest(session_id=session_id, **fields)
    )
    return answer


def ring(settings: ProcessSettings) -> KeyRing:
    return key_ring((settings.secrets_dir / CAT_KEYS_FILE).read_bytes())


def claims_of(scene: Scene, token: str) -> dict[int, Any]:
    return dict(cose.opened(token, ring(scene.settings))[0])


def minted(scene: Scene, algorithm: Algorithm = Algorithm.ES256, **changed: Any) -> Callable[[dict[int, Any]], str]:
    """Seals what it is given with a key of the installation."""
    return lambda payload: cose.sealed(
        {1: ISSUER, 4: 4_000_000_000, **payload}, ring(scene.settings).signing(algorithm)
    )


def bare(answer: policy_service_pb2.CreatePlaybackResponse, file: str = "manifest.mpd") -> str:
    """The URL without a ticket."""
    return f"https://media.example.org/p/{answer.session.package_id}/{file}"


class TestAnAccessToken:
    @pytest.mark.parametrize("algorithm", [tokens_pb2.TOKEN_ALGORITHM_ES256, tokens_pb2.TOKEN_ALGORITHM_HS256])
    async def test_lets_in_whichever_way_it_comes(self, scene: Scene, algorithm: Any) -> None:
        answer = await scene.play()
        token = (await token_for(scene, answer.session.session_id, algorithm=algorithm)).token
        url = bare(answer)
        for asked, headers in (
            (url, {NAME: token}),
            (url, {"cookie": f"a=b; CTA-Common-Access-Token={token}; c=d"}),
            (url, {"x-reelmesh-cookies": f"CTA-Common-Access-Token={token}"}),
            (f"{url}?CAT={token}", {}),
            (f"{url}?a=b&CAT={token}", {}),
            (url.replace("/p/", f"/p/{token}/"), {}),
        ):
            verdict = await scene.edge.check(asked, headers=headers)
            assert verdict.allowed, (asked, verdict.reason)
            assert verdict.headers["x-reelmesh-session"] == answer.session.session_id
            assert verdict.headers[":path"] == f"/published/{answer.session.package_id}/manifest.mpd"
            assert {"cookie", NAME} <= set(verdict.answer.ok_response.headers_to_remove)

    async def test_comes_with_urls_that_carry_it(self, scene: Scene) -> None:
        answer = await scene.play()
        made = await token_for(scene, answer.session.session_id)
        for url in (made.hls_url, made.dash_url):
            assert made.token in url
            assert (await scene.edge.check(url)).allowed

    async def test_says_who_it_is_for_and_until_when(self, scene: Scene) -> None:
        session = (await scene.play(lifetime=timedelta(hours=1))).session
        made = await token_for(scene, session.session_id, lifetime=Duration(seconds=90), methods=["GET"])
        claims = claims_of(scene, made.token)
        assert (claims[1], claims[2], claims[310], claims[313]) == (ISSUER, session.session_id, 1, ["GET"])
        assert claims[4] == int(scene.clock.now().timestamp() + 90) == made.expire_time.seconds
        assert claims[312] == {3: {1: f"/p/{session.package_id}/"}}
        assert len(claims[7]) == 12
        longest = await token_for(scene, session.session_id, lifetime=Duration(seconds=86400))
        assert longest.expire_time.seconds == session.expire_time.seconds
        assert (await token_for(scene, session.session_id)).token != made.token

    async def test_is_revoked_with_its_session(self, scene: Scene) -> None:
        answer = await scene.play()
        token = (await token_for(scene, answer.session.session_id)).token
        assert (await scene.edge.check(bare(answer), headers={NAME: token})).allowed
        await scene.revoke(answer.session.session_id)
        verdict = await scene.edge.check(bare(answer), headers={NAME: token})
        assert (verdict.reason, verdict.metadata["session_id"]) == ("SESSION_REVOKED", answer.session.session_id)
        refusal = await refused(token_for(scene, answer.session.session_id))
        assert refusal.reason == "SESSION_REVOKED"

    async def test_falls_with_its_film(self, scene: Scene) -> None:
        answer = await scene.play()
        made = await token_for(scene, answer.session.session_id)
        await scene.delete(answer.session.asset_id)
        await eventually(scene.edge, made.dash_url, "ASSET_WITHDRAWN")

    async def test_ends_by_itself_and_with_its_session(self, scene: Scene) -> None:
        answer = await scene.play(lifetime=timedelta(minutes=10))
        short = (await token_for(scene, answer.session.session_id, lifetime=Duration(seconds=60))).token
        eternal = minted(scene)({2: answer.session.session_id})
        scene.clock.advance(timedelta(seconds=61))
        assert (await scene.edge.check(bare(answer), headers={NAME: short})).reason == "ACCESS_TOKEN_EXPIRED"
        assert (await scene.edge.check(bare(answer), headers={NAME: eternal})).allowed
        scene.clock.advance(timedelta(minutes=10))
        assert (await scene.edge.check(bare(answer), headers={NAME: eternal})).reason == "TICKET_EXPIRED"

    async def test_is_for_the_package_of_its_session(self, scene: Scene) -> None:
        """Even where it has no condition on the path: what a session plays is not the token's to say."""
        answer, other = await scene.play(), await scene.play()
        token = minted(scene)({2: answer.session.session_id})
        assert (await scene.edge.check(bare(answer), headers={NAME: token})).allowed
        assert (await scene.edge.check(bare(other), headers={NAME: token})).reason == "TICKET_OTHER_PACKAGE"
        ours = (await token_for(scene, answer.session.session_id)).token
        verdict = await scene.edge.check(bare(other), headers={NAME: ours})
        assert (verdict.reason, verdict.metadata["claim"]) == ("ACCESS_TOKEN_CLAIM_UNMET", "catu")

    async def test_names_a_session_that_there_is_and_an_end(self, scene: Scene) -> None:
        answer = await scene.play()
        key = ring(scene.settings).signing(Algorithm.ES256)
        for payload, reason, claim in (
            ({1: ISSUER, 2: answer.session.session_id}, "ACCESS_TOKEN_CLAIM_UNSUPPORTED", "exp"),
            ({1: ISSUER, 4: 4_000_000_000}, "ACCESS_TOKEN_CLAIM_UNSUPPORTED", "sub"),
            ({1: ISSUER, 4: 4_000_000_000, 2: "jonas"}, "ACCESS_TOKEN_CLAIM_UNSUPPORTED", "sub"),
            ({1: ISSUER, 4: 4_000_000_000, 2: new_id("pbs")}, "ACCESS_TOKEN_CLAIM_UNMET", "sub"),
            ({1: "them", 4: 4_000_000_000, 2: answer.session.session_id}, "ACCESS_TOKEN_CLAIM_UNMET", "iss"),
            (
                {1: ISSUER, 4: 4_000_000_000, 2: answer.session.session_id, 314: ["h2"]},
                "ACCESS_TOKEN_CLAIM_UNSUPPORTED",
                "catalpn",
            ),
        ):
            verdict = await scene.edge.check(bare(answer), headers={NAME: cose.sealed(payload, key)})
            assert (verdict.reason, verdict.metadata["claim"]) == (reason, claim)

    async def test_conditions_are_kept(self, scene: Scene) -> None:
        answer = await scene.play()
        condition = tokens_pb2.UriCondition(
            part=tokens_pb2.URI_PART_EXTENSION, match=tokens_pb2.URI_MATCH_EXACT, text=".mpd"
        )
        made = await token_for(
            scene,
            answer.session.session_id,
            methods=["GET"],
            networks=["203.0.113.0/24", "2001:db8::/32"],
            uri_conditions=[condition],
        )
        headers = {NAME: made.token}
        assert (await scene.edge.check(bare(answer), headers=headers)).allowed
        assert (await scene.edge.check(bare(answer), headers=headers, address="2001:db8::7")).allowed
        for wanted, verdict in (
            ("catm", await scene.edge.check(bare(answer), "HEAD", headers)),
            ("catnip", await scene.edge.check(bare(answer), headers=headers, address="198.51.100.1")),
            ("catu", await scene.edge.check(bare(answer, "video/1.m4s"), headers=headers)),
        ):
            assert (verdict.reason, verdict.metadata["claim"]) == ("ACCESS_TOKEN_CLAIM_UNMET", wanted)

    async def test_bound_to_a_country_is_refused_where_nobody_can_tell(self, scene: Scene) -> None:
        answer = await scene.play()
        token = (await token_for(scene, answer.session.session_id, territories=["SE"])).token
        verdict = await scene.edge.check(bare(answer), headers={NAME: token})
        assert verdict.metadata["claim"] == "catgeoiso3166"

    @pytest.mark.parametrize("change", [0, 20, 60, -1])
    async def test_changed_in_one_letter_is_refused(self, scene: Scene, change: int) -> None:
        answer = await scene.play()
        token = (await token_for(scene, answer.session.session_id)).token
        letter = "A" if token[change] != "A" else "B"
        changed = token[:change] + letter + token[change:][1:]
        assert (await scene.edge.check(bare(answer), headers={NAME: changed})).reason == "ACCESS_TOKEN_INVALID"

    async def test_opens_licences_and_keys_with_a_ticket_of_its_session(self, scene: Scene) -> None:
        """The service that hands keys out knows tickets only, so the edge sends it one, which ends when the token does."""
        answer = await scene.play()
        made = await token_for(scene, answer.session.session_id, lifetime=Duration(seconds=60))
        for file, method in (("licence/clearkey", "POST"), (f"key/{HD}", "GET")):
            verdict = await scene.edge.check(bare(answer, file), method, {NAME: made.token})
            path = verdict.headers[":path"]
            ticket = path.split("/")[2]
            assert path == f"/p/{ticket}/{answer.session.package_id}/{file}"
            assert (await scene.edge.check(path, method)).allowed
            request = policy_service_pb2.AuthorizeKeysRequest(
                ticket=ticket, package_id=answer.session.package_id, key_ids=[HD]
            )
            refusal = await refused(scene.stub.AuthorizeKeys(request))
            assert refusal.reason == "PERMISSION_MISSING", "the operator is no DRM service"
        scene.clock.advance(timedelta(seconds=60))
        assert (await scene.edge.check(path, "GET")).reason == "TICKET_EXPIRED"

    @pytest.mark.parametrize(
        "tail", ["../x", "%2e%2e/x", "a//b", "a/", ".x", "a%2fb", "a\\b", "licence/x", "key/0", ""]
    )
    async def test_paths_are_as_plain_as_with_a_ticket(self, scene: Scene, tail: str) -> None:
        answer = await scene.play()
        token = (await token_for(scene, answer.session.session_id)).token
        url = bare(answer, tail)
        for asked, headers in (
            (url, {NAME: token}),
            (url.replace("/p/", f"/p/{token}/"), {}),
            (f"{url}?CAT={token}", {}),
        ):
            assert (await scene.edge.check(asked, headers=headers)).reason == "PATH_INVALID"

    async def test_twice_in_a_query_is_none(self, scene: Scene) -> None:
        answer = await scene.play()
        token = (await token_for(scene, answer.session.session_id)).token
        assert (await scene.edge.check(f"{bare(answer)}?CAT={token}&CAT={token}")).reason == "TICKET_MISSING"

    async def test_without_any_credential_is_as_before(self, scene: Scene) -> None:
        answer = await scene.play()
        assert (await scene.edge.check(bare(answer), headers={"cookie": "a=b"})).reason == "TICKET_MISSING"
        assert (await scene.edge.check(f"/p/short/{answer.session.package_id}/a")).reason == "TICKET_INVALID"
        assert (await scene.edge.check(f"/p/{'x' * 40}/{answer.session.package_id}/a")).reason == "ACCESS_TOKEN_INVALID"


class TestUseOnce:
    async def test_a_token_for_one_use_is_used_up_on_every_edge(self, scene: Scene) -> None:
        answer = await scene.play()
        made = await token_for(scene, answer.session.session_id, reuse=tokens_pb2.TOKEN_REUSE_PROHIBITED)
        other = await scene.play()
        async with a_replica(scene) as edge:
            assert (await edge.check(bare(other), headers={NAME: made.token})).reason == "ACCESS_TOKEN_CLAIM_UNMET"
            assert (await edge.check(bare(answer), headers={NAME: made.token})).allowed, "a refusal uses nothing up"
        assert (await scene.edge.check(bare(answer), headers={NAME: made.token})).reason == "ACCESS_TOKEN_REUSED"

    async def test_a_token_that_may_not_wander_is_bound_to_its_first_network(self, scene: Scene) -> None:
        answer = await scene.play()
        made = await token_for(scene, answer.session.session_id, reuse=tokens_pb2.TOKEN_REUSE_DETECTED)
        for address, reason in (
            ("", "ACCESS_TOKEN_REUSED"),
            ("203.0.113.7", ""),
            ("203.0.113.99", ""),
            ("198.51.100.1", "ACCESS_TOKEN_REUSED"),
            ("203.0.113.7", ""),
        ):
            verdict = await scene.edge.check(bare(answer), headers={NAME: made.token}, address=address)
            assert verdict.reason == reason, address

    async def test_uses_are_forgotten_when_their_tokens_are_over(self, scene: Scene) -> None:
        answer = await scene.play()
        made = await token_for(
            scene, answer.session.session_id, reuse=tokens_pb2.TOKEN_REUSE_PROHIBITED, lifetime=Duration(seconds=60)
        )
        assert (await scene.edge.check(bare(answer), headers={NAME: made.token})).allowed
        database = Database.of("policy", scene.settings)
        try:
            for wait, left in ((0, 1), (6 * 60, 0)):
                scene.clock.advance(timedelta(seconds=wait))
                await Upkeep(database, scene.clock, Territories(None)).once()
                async with database.transaction() as tx:
                    rows = (await tx.exec_driver_sql("SELECT count(*) FROM access_token_uses")).scalar_one()
                assert rows == left
        finally:
            await database.close()


class TestRenewal:
    async def test_a_token_that_is_about_to_end_is_renewed_the_way_it_came(self, scene: Scene) -> None:
        answer = await scene.play(lifetime=timedelta(minutes=10))
        renewal = tokens_pb2.TokenRenewal(lifetime=Duration(seconds=120), lead_duration=Duration(seconds=30))
        made = await token_for(scene, answer.session.session_id, lifetime=Duration(seconds=60), renewal=renewal)
        by_header, by_cookie = {NAME: made.token}, {"cookie": f"{NAME}={made.token}"}
        assert added(await scene.edge.check(bare(answer), headers=by_header)) == {}
        scene.clock.advance(timedelta(seconds=31))
        fresh = added(await scene.edge.check(bare(answer), headers=by_header))[NAME]
        claims, before = claims_of(scene, fresh), claims_of(scene, made.token)
        assert claims[4] == int(scene.clock.now().timestamp()) + 120
        assert claims[7] != before[7]
        assert {label: claims[label] for label in (1, 2, 312, 323)} == {
            label: before[label] for label in (1, 2, 312, 323)
        }
        cookie = added(await scene.edge.check(bare(answer), headers=by_cookie))["set-cookie"]
        assert cookie.startswith("CTA-Common-Access-Token=")
        scene.clock.advance(timedelta(seconds=60))
        assert (await scene.edge.check(bare(answer), headers=by_header)).reason == "ACCESS_TOKEN_EXPIRED"
        assert (await scene.edge.check(bare(answer), headers={NAME: fresh})).allowed

    async def test_never_beyond_the_session(self, scene: Scene) -> None:
        answer = await scene.play(lifetime=timedelta(seconds=90))
        renewal = tokens_pb2.TokenRenewal(lifetime=Duration(seconds=3600), carrier=tokens_pb2.RENEWAL_CARRIER_HEADER)
        made = await token_for(scene, answer.session.session_id, lifetime=Duration(seconds=60), renewal=renewal)
        fresh = added(await scene.edge.check(made.dash_url))[NAME]
        assert claims_of(scene, fresh)[4] == answer.session.expire_time.seconds
        scene.clock.advance(timedelta(seconds=31))
        assert added(await scene.edge.check(bare(answer), headers={NAME: fresh})) == {}, "there is nothing to be won"

    async def test_what_we_cannot_write_is_taken_over(self, scene: Scene) -> None:
        answer = await scene.play()
        now = int(scene.clock.now().timestamp())
        claims = {2: answer.session.session_id, 4: now + 30, 315: {"user-agent": {1: "TV"}}, 323: {0: 2, 1: 60}}
        headers = {NAME: minted(scene)(claims), "user-agent": "TV 1"}
        fresh = added(await scene.edge.check(bare(answer), headers=headers))[NAME]
        assert claims_of(scene, fresh)[315] == {"user-agent": {1: "TV"}}


async def test_a_token_that_is_over_leads_to_where_its_issuer_says(scene: Scene) -> None:
    answer = await scene.play()
    claims = {2: answer.session.session_id, 4: 5, 322: {4: [302, {"Location": "https://shop.example.org/renew"}]}}
    verdict = await scene.edge.check(bare(answer), headers={NAME: minted(scene)(claims)})
    assert (verdict.reason, verdict.answer.denied_response.status.code) == ("ACCESS_TOKEN_EXPIRED", 302)
    assert verdict.headers["location"] == "https://shop.example.org/renew"


async def test_a_token_of_another_issuer_is_good_where_its_key_is_known(scene: Scene) -> None:
    file = scene.settings.secrets_dir / CAT_KEYS_FILE
    assert json.loads(file.read_text())["keys"][0]["issuers"] == [ISSUER]
    answer = await scene.play()
    claims = {1: "coap://jonas.example.com", 6: 1741985961, 5: 1741985961, 2: answer.session.session_id}
    verdict = await scene.edge.check(bare(answer), headers={NAME: minted(scene)(claims)})
    assert verdict.metadata["claim"] == "iss"


class TestTheCall:
    async def test_conditions_that_edges_cannot_check_are_refused(self, scene: Scene) -> None:
        session_id = (await scene.play()).session.session_id

        def condition(match: Any, text: str, part: Any = tokens_pb2.URI_PART_PATH) -> tokens_pb2.UriCondition:
            return tokens_pb2.UriCondition(part=part, match=match, text=text)

        for conditions in (
            [condition(tokens_pb2.URI_MATCH_REGEX, "(a*)*b")],
            [condition(tokens_pb2.URI_MATCH_SHA256, "short")],
            [condition(tokens_pb2.URI_MATCH_PREFIX, "/p/other/")],
            [condition(tokens_pb2.URI_MATCH_SUFFIX, text) for text in ("a", "b")],
        ):
            refusal = await refused(token_for(scene, session_id, uri_conditions=conditions))
            assert refusal.reason == "URI_CONDITION_INVALID"
        assert (await refused(token_for(scene, session_id, networks=["10.0.0.1/8"]))).reason == "NETWORK_INVALID"
        long = [condition(tokens_pb2.URI_MATCH_EXACT, "a" * 512, part) for part in (1, 2, 3, 5, 6, 7, 8, 9)]
        assert (await refused(token_for(scene, session_id, uri_conditions=long))).reason == "ACCESS_TOKEN_TOO_LONG"

    async def test_a_session_of_others_is_not_known(self, scene: Scene) -> None:
        session_id = (await scene.play()).session.session_id
        with with_api_key(scene.settings, organisation_id=new_id("org"), permissions=["playback.create"]) as key:
            request = api.CreateAccessTokenRequest(session_id=session_id)
            assert (await refused(call(scene, "CreateAccessToken", request, key))).reason == "SESSION_NOT_FOUND"

    async def test_anybody_may_know_the_public_keys_and_nobody_the_others(self, scene: Scene) -> None:
        answer = await call(scene, "ListTokenKeys", api.ListTokenKeysRequest(), key="")
        (key,) = answer.keys
        assert (key.algorithm, key.signs, answer.next_page_token) == (tokens_pb2.TOKEN_ALGORITHM_ES256, True, "")
        entry = {"key_id": key.key_id, "algorithm": "ES256", "public_key": key.public_key, "issuers": [ISSUER]}
        outside = key_ring(json.dumps({"keys": [entry]}).encode())
        session_id = (await scene.play()).session.session_id
        payload, _ = cose.opened((await token_for(scene, session_id)).token, outside)
        assert payload[2] == session_id


class TestACookie:
    async def test_lets_in_by_urls_without_a_ticket(self, scene: Scene) -> None:
        answer = await scene.play()
        request = api.CreatePlaybackCookieRequest(session_id=answer.session.session_id)
        made = await call(scene, "CreatePlaybackCookie", request)
        path = f"/p/{answer.session.package_id}/"
        seconds = answer.session.expire_time.seconds - int(scene.clock.now().timestamp())
        parts = made.cookie.set_cookie.split("; ")
        assert parts[0] == f"reelmesh_ticket={made.cookie.value}"
        assert parts[1:2] + parts[3:] == [f"Path={path}", "HttpOnly", "Secure", "SameSite=Lax"]
        assert abs(int(parts[2].removeprefix("Max-Age=")) - seconds) <= 1
        assert urlsplit(made.dash_url).path == f"{path}manifest.mpd"
        for url in (made.hls_url, made.dash_url):
            verdict = await scene.edge.check(url, headers={"cookie": f"x=y; {parts[0]}"})
            assert (verdict.allowed, verdict.headers["x-reelmesh-session"]) == (True, answer.session.session_id)
            assert (await scene.edge.check(url)).reason == "TICKET_MISSING"
        verdict = await scene.edge.check(f"{path}licence/clearkey", "POST", {"cookie": parts[0]})
        assert verdict.headers[":path"] == f"/p/{made.cookie.value}{path[2:]}licence/clearkey"
        assert (
            await call(
                scene,
                "CreatePlaybackCookie",
                api.CreatePlaybackCookieRequest(session_id=answer.session.session_id, cross_site=True),
            )
        ).cookie.set_cookie.endswith("SameSite=None")

    async def test_is_for_its_package_and_as_long_as_its_session(self, scene: Scene) -> None:
        answer, other = await scene.play(), await scene.play()
        request = api.CreatePlaybackCookieRequest(session_id=answer.session.session_id)
        value = (await call(scene, "CreatePlaybackCookie", request)).cookie.value
        headers = {"cookie": f"reelmesh_ticket={value}"}
        assert (await scene.edge.check(bare(other), headers=headers)).reason == "TICKET_OTHER_PACKAGE"
        assert (
            await scene.edge.check(bare(answer), headers={"cookie": f"reelmesh_ticket={value}x"})
        ).reason == "TICKET_INVALID"
        await scene.revoke(answer.session.session_id)
        assert (await scene.edge.check(bare(answer), headers=headers)).reason == "SESSION_REVOKED"


def added(verdict: Any) -> dict[str, str]:
    """Headers that are added to the answer."""
    assert verdict.allowed, verdict.reason
    return {option.header.key: option.header.value for option in verdict.answer.ok_response.response_headers_to_add}
