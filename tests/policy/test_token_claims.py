"""What access tokens claim, and which requests meet that."""

from __future__ import annotations

import hashlib
import ipaddress
from typing import Any

import cbor2
import pytest

from services.kit.errors import Refusal
from services.policy.cat import claims, networks
from services.policy.cat.acceptance import Acceptance, Asked, NotFor, Nowhere
from services.policy.cat.claims import Claims, Label
from services.policy.cat.cose import MacKey
from services.policy.cat.matching import Condition, Match, Unsupported
from services.policy.cat.renewal import Carrier, Kind, Renewal
from services.policy.cat.uris import Part, Url

NOW = 1_800_000_000.0
KEY = MacKey("key", b"s" * 32)
URL = Url("https", "Media.Example.org:8443", "/p/pkg_1/video/seg-1.tar.gz", "b=2&CAT=token&a=1")


class Sweden:
    """Every address is in Stockholm."""

    def codes_of(self, address: str) -> frozenset[str]:
        return frozenset({"SE", "SE-AB"}) if address else frozenset()


def judged(
    payload: dict[int, Any],
    *,
    method: str = "GET",
    address: str = "203.0.113.7",
    url: Url = URL,
    headers: dict[str, str] | None = None,
    key: MacKey = KEY,
    now: float = NOW,
) -> str:
    """The claim that is not met, or the reason that is no claim's; empty when the request may go on."""
    acceptance = Acceptance(frozenset({"reelmesh"}), Sweden())
    try:
        acceptance.check(claims.read(payload), key, Asked(method, url, address, headers or {}), now)
    except NotFor as refusal:
        return refusal.metadata.get("claim", refusal.reason)
    return ""


def unsupported(payload: dict[Any, Any]) -> str:
    with pytest.raises(Refusal) as caught:
        claims.read(payload)
    assert caught.value.reason == "ACCESS_TOKEN_CLAIM_UNSUPPORTED"
    return caught.value.metadata["claim"]


class TestTime:
    def test_a_token_ends_at_its_moment(self) -> None:
        assert judged({4: NOW + 0.5}) == ""
        assert judged({4: int(NOW)}) == "ACCESS_TOKEN_EXPIRED"
        assert judged({4: NOW - 1}) == "ACCESS_TOKEN_EXPIRED"

    def test_a_token_begins_at_its_moment(self) -> None:
        assert judged({5: int(NOW)}) == ""
        assert judged({5: NOW + 1}) == "ACCESS_TOKEN_EARLY"

    @pytest.mark.parametrize(
        "moment", ["1", None, True, float("nan"), float("inf"), -1, 10**13, cbor2.CBORTag(1, 5), []]
    )
    def test_what_is_no_moment_is_refused(self, moment: Any) -> None:
        assert unsupported({4: moment}) == "exp"
        assert unsupported({5: moment}) == "nbf"
        assert unsupported({6: moment}) == "iat"


class TestWhoAndForWhom:
    def test_the_issuer_is_one_that_the_key_is_for(self) -> None:
        theirs = MacKey("key", b"s" * 32, frozenset({"them"}))
        assert judged({1: "them"}, key=theirs) == ""
        assert judged({1: "others"}, key=theirs) == "iss"
        assert judged({}, key=theirs) == "iss"
        assert judged({1: "anyone"}) == ""

    def test_the_audience_is_us(self) -> None:
        assert judged({3: "reelmesh"}) == ""
        assert judged({3: ["cdn", "reelmesh"]}) == ""
        assert judged({3: "cdn"}) == "aud"
        assert judged({3: ["cdn"]}) == "aud"
        assert unsupported({3: []}) == "aud"
        assert unsupported({3: [1]}) == "aud"

    def test_methods(self) -> None:
        assert judged({313: ["GET", "HEAD"]}, method="HEAD") == ""
        assert judged({313: ["GET"]}, method="HEAD") == "catm"
        assert unsupported({313: []}) == "catm"
        assert unsupported({313: ["get"]}) == "catm"
        assert unsupported({313: "GET"}) == "catm"

    def test_territories(self) -> None:
        assert judged({316: ["SE"]}) == ""
        assert judged({316: ["NO", "SE-AB"]}) == ""
        assert judged({316: ["NO"]}) == "catgeoiso3166"
        assert judged({316: ["SE"]}, address="") == "catgeoiso3166"
        assert unsupported({316: ["Sweden"]}) == "catgeoiso3166"

    def test_where_nobody_knows_where_anybody_is_a_bound_token_is_refused(self) -> None:
        with pytest.raises(NotFor):
            Acceptance(frozenset(), Nowhere()).check(
                claims.read({316: ["SE"]}), KEY, Asked("GET", URL, "203.0.113.7", {}), NOW
            )

    def test_headers(self) -> None:
        wanted = {315: {"User-Agent": {1: "TV/"}}}
        assert judged(wanted, headers={"user-agent": "TV/1"}) == ""
        assert judged(wanted, headers={"user-agent": "Web/1"}) == "cath"
        assert judged(wanted) == "cath"
        assert unsupported({315: {}}) == "cath"
        assert unsupported({315: {"a b": {0: ""}}}) == "cath"


class TestNetworks:
    def test_addresses_and_prefixes_of_both_kinds(self) -> None:
        for value, inside, outside in (
            (cbor2.CBORTag(52, bytes([203, 0, 113, 7])), "203.0.113.7", "203.0.113.8"),
            (cbor2.CBORTag(52, [24, bytes([203, 0, 113])]), "203.0.113.255", "203.0.114.0"),
            (cbor2.CBORTag(52, [24, bytes([203, 0, 113, 0])]), "203.0.113.0", "203.0.112.255"),
            (cbor2.CBORTag(52, [0, b""]), "8.8.8.8", "2001:db8::1"),
            (cbor2.CBORTag(54, ipaddress.ip_address("2001:db8::1").packed), "2001:db8::1", "2001:db8::2"),
            (cbor2.CBORTag(54, [32, bytes.fromhex("20010db8")]), "2001:db8:ffff::1", "2001:db9::"),
        ):
            assert judged({311: [value]}, address=inside) == ""
            assert judged({311: [value]}, address=outside) == "catnip"
            assert judged({311: [value]}, address="") == "catnip"
            assert judged({311: [value]}, address="nonsense") == "catnip"

    def test_any_of_several_will_do(self) -> None:
        both = [cbor2.CBORTag(54, [32, bytes.fromhex("20010db8")]), cbor2.CBORTag(52, [8, b"\x0a"])]
        assert judged({311: both}, address="10.9.8.7") == ""
        assert judged({311: both}, address="2001:db8::7") == ""
        assert judged({311: both}, address="11.0.0.0") == "catnip"

    def test_an_ipv4_address_in_the_clothes_of_ipv6_is_one_of_ipv4(self) -> None:
        assert judged({311: [cbor2.CBORTag(52, [8, b"\x0a"])]}, address="::ffff:10.1.2.3") == ""
        assert judged({311: [cbor2.CBORTag(54, [0, b""])]}, address="::ffff:10.1.2.3") == "catnip"

    def test_an_autonomous_system_lets_nobody_in(self) -> None:
        assert unsupported({311: [64512]}) == "catnip"
        mixed = [64512, cbor2.CBORTag(52, [8, b"\x0a"])]
        assert judged({311: mixed}, address="10.0.0.1") == ""
        assert judged({311: mixed}, address="11.0.0.1") == "catnip"

    @pytest.mark.parametrize(
        "value",
        [
            [],
            "10.0.0.1",
            ["10.0.0.1"],
            [cbor2.CBORTag(52, b"\x0a")],
            [cbor2.CBORTag(52, b"\x0a\0\0\0\0")],
            [cbor2.CBORTag(52, [33, b"\x0a"])],
            [cbor2.CBORTag(52, [-1, b"\x0a"])],
            [cbor2.CBORTag(52, [True, b"\x0a"])],
            [cbor2.CBORTag(52, [8, b"\x0a\x01"])],
            [cbor2.CBORTag(52, [8])],
            [cbor2.CBORTag(52, "10.0.0.1")],
            [cbor2.CBORTag(54, b"\x0a\0\0\0")],
            [cbor2.CBORTag(53, b"\x0a\0\0\0")],
            [True],
        ],
    )
    def test_what_is_no_network_is_refused(self, value: Any) -> None:
        assert unsupported({311: value}) == "catnip"

    @pytest.mark.parametrize(
        "text", ["203.0.113.7", "203.0.113.0/24", "0.0.0.0/0", "2001:db8::", "2001:db8::/33", "::/0"]
    )
    def test_what_is_written_is_read_again(self, text: str) -> None:
        network = networks.network_of(text)
        assert networks.read(networks.written([network])) == (network,)


class TestUrls:
    @pytest.mark.parametrize(
        ("part", "text"),
        [
            (Part.SCHEME, "https"),
            (Part.HOST, "media.example.org"),
            (Part.PORT, "8443"),
            (Part.PATH, "/p/pkg_1/video/seg-1.tar.gz"),
            (Part.QUERY, "a=1&b=2"),
            (Part.PARENT_PATH, "/p/pkg_1/video"),
            (Part.FILENAME, "seg-1.tar.gz"),
            (Part.STEM, "seg-1"),
            (Part.EXTENSION, ".tar.gz"),
        ],
    )
    def test_each_part_by_each_way_to_compare(self, part: Part, text: str) -> None:
        digest = hashlib.sha256(text.encode()).digest()
        other = hashlib.new("sha512_256", text.encode()).digest()
        for good, bad in (
            ({0: text}, {0: text + "x"}),
            ({1: text[:3]}, {1: text[1:]}),
            ({2: text[-3:]}, {2: text[:-1]}),
            ({3: text[1:-1]}, {3: "zzz"}),
            ({4: [f"^.{{{len(text)}}}$"]}, {4: ["^zzz$"]}),
            ({-1: digest}, {-1: digest[::-1]}),
            ({-1: digest.hex()}, {-1: digest[::-1].hex()}),
            ({-2: other}, {-2: digest}),
        ):
            assert judged({312: {part.value: good}}) == "", (part, good)
            assert judged({312: {part.value: bad}}) == "catu", (part, bad)

    def test_all_conditions_must_hold(self) -> None:
        assert judged({312: {0: {0: "https"}, 3: {1: "/p/pkg_1/", 2: ".gz"}}}) == ""
        assert judged({312: {0: {0: "https"}, 3: {1: "/p/pkg_2/", 2: ".gz"}}}) == "catu"
        assert judged({312: {0: {0: "http"}, 3: {1: "/p/pkg_1/"}}}) == "catu"

    def test_the_port_of_the_scheme_is_known(self) -> None:
        for url, port in ((Url("https", "a", "/p/x", ""), "443"), (Url("http", "[::1]", "/p/x", ""), "80")):
            assert judged({312: {2: {0: port}}}, url=url) == ""

    def test_a_query_is_compared_in_order_and_without_the_token(self) -> None:
        assert judged({312: {4: {0: "b=2&a=1"}}}) == ""
        assert judged({312: {4: {0: "?a=1&b=2&CAT=other"}}}) == ""
        assert judged({312: {4: {0: "a=1"}}}) == "catu"

    @pytest.mark.parametrize(
        "value",
        [
            {},
            [],
            {9: {0: "a"}},
            {"path": {0: "a"}},
            {3: {}},
            {3: "a"},
            {3: {5: "a"}},
            {3: {0: 1}},
            {3: {0: b"a"}},
            {True: {0: "a"}},
            {3: {-1: b"short"}},
            {3: {-1: "A" * 64}},
            {3: {4: "a"}},
            {3: {4: ["a", "b"]}},
            {3: {4: []}},
        ],
    )
    def test_what_is_not_understood_is_refused(self, value: Any) -> None:
        assert unsupported({312: value}) == "catu"


class TestExpressions:
    @pytest.mark.parametrize(
        ("expression", "text"),
        [
            (r"^/p/pkg_1/video/[a-z0-9-]+\.m4s$", "/p/pkg_1/video/seg-1.m4s"),
            (r"\.(m4s|mp4)$", "/p/a.mp4"),
            (r"(video|audio)/", "/p/x/audio/1"),
            (r"^/p/.*\.m3u8?$", "/p/x/master.m3u8"),
            (r"seg-\d{3}", "seg-123"),
        ],
    )
    def test_plain_ones_are_taken(self, expression: str, text: str) -> None:
        assert Condition(Match.REGEX, expression).met_by(text)
        assert not Condition(Match.REGEX, expression).met_by("?")

    @pytest.mark.parametrize(
        "expression",
        [
            r"(a*)*b",
            r"(a+)+$",
            r"(a|a)*b",
            r"(a|aa){2,}",
            r"a*a*a*b",
            r".*.*x",
            r"^a*a*a*$",
            r"^(.*|a).*x",
            r"(?:a)",
            r"(?=a)a",
            r"(a)\1",
            r"[[:alpha:]]",
            r"a**",
            "(",
            ")",
            "[",
            "a" * 257,
            "a{1000}",
            r"\u0041",
            "(?i)a",
        ],
    )
    def test_those_that_could_take_for_ever_are_not(self, expression: str) -> None:
        with pytest.raises(Unsupported):
            Condition(Match.REGEX, expression)

    @pytest.mark.parametrize("expression", [r".*x", r"^.*.*x", r"^a*a*b", r"a+b"])
    def test_the_worst_that_is_taken_does_not_take_long(self, expression: str) -> None:
        condition = Condition(Match.REGEX, expression)
        assert not condition.met_by("a" * 1024)
        assert not condition.met_by("a" * 100_000 + "x")


class TestWhatIsNotKnown:
    @pytest.mark.parametrize(
        ("label", "name"),
        [
            (8, "cnf"),
            (282, "geohash"),
            (309, "catpor"),
            (314, "catalpn"),
            (317, "catgeocoord"),
            (318, "catgeoalt"),
            (319, "cattpk"),
            (320, "catifdata"),
            (321, "catdpop"),
            (9, "9"),
            (400, "400"),
            (-65537, "-65537"),
            ("x", "x"),
            (True, "True"),
            (1.0, "1.0"),
        ],
    )
    def test_a_claim_that_nobody_here_can_judge_is_refused_by_name(self, label: Any, name: str) -> None:
        assert unsupported({label: "anything"}) == name

    def test_another_version_is_refused(self) -> None:
        assert judged({310: 1}) == ""
        assert unsupported({310: 2}) == "catv"
        assert unsupported({310: True}) == "catv"

    @pytest.mark.parametrize("value", [3, -1, "0", True, None])
    def test_another_way_to_forbid_reuse_is_refused(self, value: Any) -> None:
        assert unsupported({308: value}) == "catreplay"


class TestRenewal:
    def test_is_due_in_the_last_moments(self) -> None:
        renewal = claims.read({323: {0: 0, 1: 120, 2: 30}}).renewal
        assert renewal is not None
        assert [renewal.due(NOW + after, NOW + 100) for after in (0, 69, 70, 99, 100)] == [
            False,
            False,
            True,
            True,
            False,
        ]

    def test_goes_the_way_that_the_token_came(self) -> None:
        renewal = Renewal(Kind.AUTOMATIC, 60)
        assert renewal.header(Carrier.HEADER, "t") == ("CTA-Common-Access-Token", "t")
        cookie = "CTA-Common-Access-Token=t; Secure; HttpOnly; SameSite=None; Path=/p/"
        assert renewal.header(Carrier.COOKIE, "t") == ("Set-Cookie", cookie)
        assert renewal.header(Carrier.QUERY, "t") is None
        assert renewal.header(Carrier.PATH, "t") is None
        assert Renewal(Kind.HEADER, 60).header(Carrier.PATH, "t") == ("CTA-Common-Access-Token", "t")
        assert Renewal(Kind.REDIRECT, 60).header(Carrier.HEADER, "t") is None

    def test_says_what_cookie_it_wants(self) -> None:
        renewal = claims.read({323: {0: 1, 1: 60, 3: "cta-token", 5: ["Path=/video", "Secure"]}}).renewal
        assert renewal is not None
        assert renewal.header(Carrier.HEADER, "t") == ("Set-Cookie", "cta-token=t; Path=/video; Secure")

    @pytest.mark.parametrize(
        "value",
        [
            {},
            {0: 0},
            {1: 60},
            {0: 9, 1: 60},
            {0: 0, 1: 0},
            {0: 0, 1: -5},
            {0: 0, 1: 10**9},
            {0: 0, 1: "60"},
            {0: 0, 1: 60, 99: 1},
            {0: 2, 1: 60, 4: "access-control-allow-origin"},
            {0: 1, 1: 60, 3: "session"},
            {0: 1, 1: 60, 5: ["Path=/\r\nx: y"]},
            {0: 1, 1: 60, 5: "a" + ";" + "b"},
        ],
    )
    def test_one_that_is_malformed_or_would_set_other_headers_is_refused(self, value: Any) -> None:
        assert unsupported({323: value}) == "catr"


class TestOtherwise:
    def test_says_where_to_go_when_a_token_is_over(self) -> None:
        read = claims.read({322: {4: [307, {"Location": "https://example.org/renew"}]}})
        answer = read.otherwise[Label.EXP]
        assert (answer.status, answer.location) == (307, "https://example.org/renew")

    @pytest.mark.parametrize(
        "value",
        [
            {},
            {4: []},
            {4: [200, {}]},
            {4: [302, {}]},
            {4: [403, {"Location": "https://example.org"}]},
            {4: [302, {"Location": "javascript:alert(1)"}]},
            {4: [302, {"Location": "https://a\r\nb: c"}]},
            {4: [302, {"Location": ["https://a", {}]}]},
            {4: [302, {"Location": "https://a", "Set-Cookie": "a=b"}]},
            {4: [302, {"Location": "https://a"}, "key"]},
            {"exp": [302, {"Location": "https://a"}]},
        ],
    )
    def test_one_that_asks_for_more_is_refused(self, value: Any) -> None:
        assert unsupported({322: value}) == "catif"


def test_what_is_written_is_read_again() -> None:
    said = Claims(
        issuer="i",
        subject="s",
        audience=frozenset({"a", "b"}),
        expires=5.0,
        issued=1.0,
        token_id=b"id",
        reuse=claims.Reuse.PROHIBITED,
        networks=(networks.network_of("10.0.0.0/8"),),
        uri={Part.PATH: (Condition(Match.PREFIX, "/p/"), Condition(Match.REGEX, "a+"))},
        methods=frozenset({"GET"}),
        territories=frozenset({"SE"}),
        renewal=Renewal(Kind.HEADER, 60.0),
    )
    assert claims.read(said.written()) == said
