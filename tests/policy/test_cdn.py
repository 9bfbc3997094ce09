"""URLs for outside CDNs: Amazon's own library is the judge of those for CloudFront, Cloudflare's documentation of the others."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
import urllib.parse
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from botocore.signers import CloudFrontSigner
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA1, SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from reelmesh.policy.v1 import tokens_service_pb2 as api
from reelmesh.policy.v1 import tokens_service_pb2_grpc

from services.kit.settings import ProcessSettings
from services.policy.cdn.cloudflare import Cloudflare
from services.policy.cdn.cloudfront import CloudFront, Digest, private_key
from services.policy.cdn.settings import CdnSettings, cdns
from services.policy.tokens.wiring import CONTRACT
from tests.policy.scene import Scene, a_scene, refused
from tests.support.running import connected

EXPIRES = 1_800_000_000
RSA = rsa.generate_private_key(65537, 2048)
EC = ec.generate_private_key(ec.SECP256R1())
BASE = "https://d111111abcdef8.cloudfront.net/published"
URL = f"{BASE}/pkg_1/master.m3u8"
SIGNED = CloudFront(BASE, "K2JCJMDEHXQW5F", RSA)
SECRET = b"thisisasharedsecret"


def pem(key: Any) -> bytes:
    return bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))


def plain(text: str) -> bytes:
    """CloudFront's base64 undone."""
    return base64.b64decode(text.translate(str.maketrans("-_~", "+=/")))


class TestCloudFront:
    judge = CloudFrontSigner(
        "K2JCJMDEHXQW5F", lambda message: RSA.sign(message, PKCS1v15(), SHA1())
    )  # CloudFront's choice

    @pytest.mark.parametrize("url", [URL, f"{URL}?a=b"])
    def test_a_url_by_canned_policy_is_amazons_own_to_the_byte(self, url: str) -> None:
        moment = datetime.fromtimestamp(EXPIRES, UTC)
        assert SIGNED.signed_url(url, EXPIRES) == self.judge.generate_presigned_url(url, date_less_than=moment)

    @pytest.mark.parametrize(
        ("network", "starts"), [("", None), ("203.0.113.7", None), ("203.0.113.0/24", EXPIRES - 60)]
    )
    def test_one_by_custom_policy_too(self, network: str, starts: int | None) -> None:
        moment = datetime.fromtimestamp(EXPIRES, UTC)
        begins = None if starts is None else datetime.fromtimestamp(starts, UTC)
        wanted = self.judge.build_policy(f"{BASE}/pkg_1/*", moment, begins, network or None)
        policy = SIGNED.policy(f"{BASE}/pkg_1/*", EXPIRES, network=network, starts=starts)
        assert policy == wanted
        assert f"{URL}?{SIGNED.query(policy)}" == self.judge.generate_presigned_url(URL, policy=wanted)

    def test_cookies_say_the_same_as_the_query(self) -> None:
        policy = SIGNED.policy(f"{BASE}/pkg_1/*", EXPIRES)
        cookies, query = SIGNED.cookies(policy), dict(urllib.parse.parse_qsl(SIGNED.query(policy)))
        assert cookies == {f"CloudFront-{name}": value for name, value in query.items()}
        assert json.loads(plain(cookies["CloudFront-Policy"]))["Statement"][0]["Resource"] == f"{BASE}/pkg_1/*"

    def test_another_digest_is_said(self) -> None:
        newer = CloudFront(BASE, "K", RSA, Digest.SHA256)
        policy = newer.policy(URL, EXPIRES)
        query = dict(urllib.parse.parse_qsl(newer.query(policy)))
        assert query["Hash-Algorithm"] == "SHA256"
        assert newer.cookies(policy)["CloudFront-Hash-Algorithm"] == "SHA256"
        RSA.public_key().verify(plain(query["Signature"]), policy.encode(), PKCS1v15(), SHA256())
        with pytest.raises(InvalidSignature):
            RSA.public_key().verify(plain(query["Signature"]), policy.encode(), PKCS1v15(), SHA1())

    @pytest.mark.parametrize(("digest", "algorithm"), [(Digest.SHA1, SHA1()), (Digest.SHA256, SHA256())])
    def test_a_key_on_p256_signs_by_ecdsa(self, digest: Digest, algorithm: Any) -> None:
        short = CloudFront(BASE, "K", EC, digest)
        policy = short.policy(URL, EXPIRES)
        signature = plain(short.cookies(policy)["CloudFront-Signature"])
        EC.public_key().verify(signature, policy.encode(), ec.ECDSA(algorithm))
        assert len(signature) <= 72, "DER"

    def test_keys_that_cloudfront_does_not_take_are_refused_at_start(self) -> None:
        assert isinstance(private_key(pem(RSA)), rsa.RSAPrivateKey)
        assert isinstance(private_key(pem(EC)), ec.EllipticCurvePrivateKey)
        for key in (rsa.generate_private_key(65537, 3072), ec.generate_private_key(ec.SECP384R1())):
            with pytest.raises(ValueError, match="CloudFront"):
                private_key(pem(key))


class TestCloudflare:
    def test_a_token_is_that_of_the_documented_lines(self) -> None:
        """As "Configure token authentication" has them in Python."""
        moment, path = 1484063787, "/images/cat.jpg"
        digest = hmac.new(SECRET, f"{path}{moment}".encode(), hashlib.sha256)
        wanted = urllib.parse.urlencode({"verify": f"{moment}-{base64.b64encode(digest.digest()).decode()}"})
        assert Cloudflare("", SECRET).query(path, moment) == wanted

    def test_a_url_safe_one_has_no_padding(self) -> None:
        """As the flag `s` wants it: 43 characters."""
        path, moment = "/images/cat.jpg", 1484063787
        usual, safe = (Cloudflare("", SECRET, url_safe=flag).token(path, moment) for flag in (False, True))
        mac = safe.partition("-")[2]
        assert re.fullmatch(r"[A-Za-z0-9_-]{43}", mac)
        assert base64.urlsafe_b64decode(mac + "=") == base64.b64decode(urllib.parse.unquote(usual.partition("-")[2]))

    @pytest.mark.parametrize("url_safe", [False, True])
    def test_a_rule_finds_all_four_parts(self, url_safe: bool) -> None:
        """By the regular expression of the documentation of `is_timed_hmac_valid_v0`, the separator being of the length that the rule says."""
        query = Cloudflare("", SECRET, url_safe=url_safe).query("/download/cat.jpg", 1484063787)
        uri = f"/download/cat.jpg?{query}"
        found = re.fullmatch(r"(.+)(\d{10})-(.{43,})", uri)
        assert found
        message, separator = found[1][:-8], found[1][-8:]
        assert (message, separator, found[2]) == ("/download/cat.jpg", "?verify=", "1484063787")

    def test_the_message_and_the_moment_are_both_signed(self) -> None:
        flare = Cloudflare("", SECRET)
        tokens = {flare.token(path, moment)[11:] for path in ("/a", "/b") for moment in (1484063787, 1484063788)}
        assert len(tokens) == 4


FRONT = {"kind": "cloudfront", "host": "d1.cloudfront.net", "key_file": "front.pem", "key_id": "K1", "lifetime": 600}
FLARE = {"kind": "cloudflare", "host": "video.example.org", "prefix": "", "key_file": "flare", "lifetime": 900}


class TestSettings:
    def files(self, name: str) -> bytes:
        return {"front.pem": pem(RSA), "flare": SECRET + b"\n", "short": b"short"}[name]

    def test_name_each_cdn_with_its_key(self) -> None:
        found = cdns({"aws": CdnSettings(**FRONT), "cf": CdnSettings(**FLARE)}, self.files)
        assert isinstance(found["aws"][0], CloudFront)
        assert isinstance(found["cf"][0], Cloudflare)
        assert found["cf"][0].secret == SECRET
        assert SECRET.decode() not in repr(found)

    @pytest.mark.parametrize(
        ("name", "changed"),
        [
            ("A", FRONT),
            ("a", FRONT | {"key_id": ""}),
            ("a", FLARE | {"key_file": "short"}),
            ("a", FRONT | {"kind": "akamai"}),
            ("a", FRONT | {"host": "https://a"}),
            ("a", FRONT | {"key_file": "../root_key"}),
            ("a", FRONT | {"unknown": 1}),
            ("a", FRONT | {"lifetime": 10}),
        ],
    )
    def test_are_refused_at_start_when_wrong(self, name: str, changed: dict[str, Any]) -> None:
        with pytest.raises(ValueError, match=r"."):
            cdns({name: CdnSettings(**changed)}, self.files)


class TestTheCall:
    @pytest.fixture
    async def scene(self, mesh: ProcessSettings) -> Any:
        files = {"front.pem": pem(RSA), "flare": SECRET}
        for name, content in files.items():
            (mesh.secrets_dir / name).write_bytes(content)
        try:
            named = {"front": CdnSettings(**FRONT), "flare": CdnSettings(**FLARE)}
            async with a_scene(mesh, policy_cdns=named) as scene:
                yield scene
        finally:
            for name in files:
                Path(mesh.secrets_dir / name).unlink()

    async def urls(self, scene: Scene, session_id: str, cdn: str, network: str = "") -> api.CreateCdnUrlsResponse:
        async with connected(scene.settings, "policy", CONTRACT) as channel:
            stub = tokens_service_pb2_grpc.TokensServiceStub(channel)
            request = api.CreateCdnUrlsRequest(session_id=session_id, cdn=cdn, network=network)
            answer: api.CreateCdnUrlsResponse = await stub.CreateCdnUrls(request)
            return answer

    async def test_cloudfront_gets_a_policy_for_the_package(self, scene: Scene) -> None:
        session = (await scene.play()).session
        answer = await self.urls(scene, session.session_id, "front", "203.0.113.0/24")
        ends = int(scene.clock.now().timestamp() + 600)
        resource = f"https://d1.cloudfront.net/published/{session.package_id}/*"
        (cookie,) = [cookie for cookie in answer.cookies if cookie.name == "CloudFront-Policy"]
        policy = plain(cookie.value)
        assert json.loads(policy)["Statement"] == [
            {
                "Resource": resource,
                "Condition": {
                    "DateLessThan": {"AWS:EpochTime": ends},
                    "IpAddress": {"AWS:SourceIp": "203.0.113.0/24"},
                },
            }
        ]
        assert (cookie.domain, cookie.path) == ("d1.cloudfront.net", f"/published/{session.package_id}/")
        assert answer.hls_url == f"{resource[:-1]}master.m3u8?{answer.query}"
        assert answer.expire_time.seconds == ends
        (signature,) = [cookie.value for cookie in answer.cookies if cookie.name == "CloudFront-Signature"]
        RSA.public_key().verify(plain(signature), policy, PKCS1v15(), SHA1())

    async def test_cloudflare_gets_a_token_for_the_package(self, scene: Scene) -> None:
        session = (await scene.play()).session
        answer = await self.urls(scene, session.session_id, "flare")
        path = urllib.parse.urlsplit(answer.dash_url).path
        moment, _, mac = answer.query.removeprefix("verify=").partition("-")
        message = path[: len(f"/{session.package_id}/")]  # what the rule's substring() takes
        wanted = hmac.digest(SECRET, f"{message}{moment}".encode(), hashlib.sha256)
        assert base64.b64decode(urllib.parse.unquote(mac)) == wanted
        assert int(moment) + 900 == answer.expire_time.seconds

    async def test_nothing_outlives_the_session(self, scene: Scene) -> None:
        """Cloudflare's rule says how long a token is good, so it is dated back."""
        session = (await scene.play(lifetime=timedelta(seconds=100))).session
        for cdn in ("front", "flare"):
            answer = await self.urls(scene, session.session_id, cdn)
            assert answer.expire_time.seconds == session.expire_time.seconds
        assert int(answer.query.removeprefix("verify=")[:10]) == session.expire_time.seconds - 900

    async def test_what_cannot_be_had_is_refused(self, scene: Scene) -> None:
        session_id = (await scene.play()).session.session_id
        assert (await refused(self.urls(scene, session_id, "other"))).reason == "CDN_NOT_FOUND"
        assert (await refused(self.urls(scene, session_id, "flare", "10.0.0.0/8"))).reason == "REQUEST_INVALID"
        assert (await refused(self.urls(scene, session_id, "front", "::1"))).reason == "REQUEST_INVALID"
        assert (await refused(self.urls(scene, session_id, "front", "10.0.0.1/8"))).reason == "NETWORK_INVALID"
        await scene.revoke(session_id)
        assert (await refused(self.urls(scene, session_id, "front"))).reason == "SESSION_REVOKED"
