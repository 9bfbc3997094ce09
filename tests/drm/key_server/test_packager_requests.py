"""Shaka Packager's key server API: signed requests, one key for each kind of track and period, and the statuses that the packager knows."""

from __future__ import annotations

import base64
import contextlib
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from reelmesh.drm.v1 import drm_pb2, events_pb2
from reelmesh.drm.v1 import key_server_service_pb2 as api

from services.drm.key_server import packager_requests
from services.drm.key_server.packager_requests import Asked, signature_fits
from services.kit import pssh
from services.kit.errors import Refusal
from services.kit.ids import new_id
from tests.drm.cpix.certificates import holder
from tests.drm.key_server.packager_asks import TYPES, rotating, said
from tests.drm.key_server.scene import KeyServer, Signer, stub_of
from tests.policy.scene import refused
from tests.support.running import connected

VECTORS = Path(__file__).resolve().parents[4] / "shared/vectors/widevine"


def vector(name: str) -> dict[str, str]:
    file = VECTORS / f"packager-v3.8.0-request-{name}.json"
    if not file.exists():
        pytest.skip("the shared vectors are not here")
    return dict(json.loads(file.read_text()))


class TestReading:
    def test_what_the_packager_sends_is_understood(self) -> None:
        request = base64.b64decode(vector("static")["request"])
        assert packager_requests.read(request) == Asked(b"asset-1", tuple(TYPES), "cbcs")
        request = base64.b64decode(vector("rotation")["request"])
        assert packager_requests.read(request).periods == range(100, 110)

    @pytest.mark.parametrize(
        ("changed", "status"),
        [
            ({"content_id": None}, "CONTENT_ID_MISSING"),
            ({"content_id": ""}, "CONTENT_ID_MISSING"),
            ({"content_id": "???"}, "CONTENT_ID_MISSING"),
            ({"content_id": 7}, "CONTENT_ID_MISSING"),
            ({"content_id": base64.b64encode(bytes(1025)).decode()}, "CONTENT_ID_MISSING"),
            ({"tracks": None}, "TRACK_TYPE_MISSING"),
            ({"tracks": []}, "TRACK_TYPE_MISSING"),
            ({"tracks": [{"type": "8K"}]}, "TRACK_TYPE_UNKNOWN"),
            ({"tracks": [{"type": "SD"}, {"type": "SD"}]}, "TRACK_TYPE_UNKNOWN"),
            ({"tracks": ["SD"]}, "TRACK_TYPE_UNKNOWN"),
            ({"tracks": [{"type": []}]}, "TRACK_TYPE_UNKNOWN"),
            ({"drm_types": ["PLAYREADY"]}, "MALFORMED_REQUEST"),
            ({"protection_scheme": "ROT13"}, "MALFORMED_REQUEST"),
            ({"protection_scheme": []}, "MALFORMED_REQUEST"),
            ({"video_feature": "a/b"}, "MALFORMED_REQUEST"),
            ({"pssh_data": "AAAA"}, "MALFORMED_REQUEST"),
            ({"asset_id": 7}, "MALFORMED_REQUEST"),
            ({"group_id": "AAAA"}, "MALFORMED_REQUEST"),
            ({"enable_entitlement_license": True}, "MALFORMED_REQUEST"),
            ({"crypto_period_count": 3}, "MALFORMED_REQUEST"),
            ({"first_crypto_period_index": -1}, "MALFORMED_REQUEST"),
            ({"first_crypto_period_index": True}, "MALFORMED_REQUEST"),
            ({"first_crypto_period_index": 2**32}, "MALFORMED_REQUEST"),
            ({"first_crypto_period_index": 2**32 - 1, "crypto_period_count": 2}, "NO_REQUESTED_CRYPTO_PERIODS"),
            ({"first_crypto_period_index": 0, "crypto_period_count": 0}, "NO_REQUESTED_CRYPTO_PERIODS"),
            ({"first_crypto_period_index": 0, "crypto_period_count": 33}, "NO_REQUESTED_CRYPTO_PERIODS"),
        ],
    )
    def test_what_cannot_be_answered_has_its_status(self, changed: dict[str, Any], status: str) -> None:
        with pytest.raises(Refusal) as refusal:
            packager_requests.read(json.dumps(said(**changed)).encode())
        assert (refusal.value.reason, refusal.value.metadata["status"]) == ("PACKAGER_REQUEST_INVALID", status)

    @given(
        st.binary(max_size=100)
        | st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
            lambda some: (
                st.lists(some, max_size=3)
                | st.dictionaries(st.sampled_from([*said(), "first_crypto_period_index"]), some)
            ),
        ).map(lambda value: json.dumps(value).encode())
    )
    def test_whatever_is_signed_is_read_or_refused(self, request_bytes: bytes) -> None:
        with contextlib.suppress(Refusal):
            assert packager_requests.read(request_bytes).wanted()

    def test_pictures_that_differ_in_a_feature_have_other_keys_and_sound_has_not(self) -> None:
        asked = packager_requests.read(json.dumps(said(video_feature="HDR")).encode())
        labels = [label for _, _, label in asked.wanted()]
        assert labels == ["SD+HDR", "HD+HDR", "UHD1+HDR", "UHD2+HDR", "AUDIO"]


class TestSigning:
    signer = Signer("pkr", bytes(range(32)), bytes(range(16)))

    def fits(self, message: dict[str, str], signer: Signer | None = None) -> bool:
        signer = signer or self.signer
        request, signature = (base64.b64decode(message[name]) for name in ("request", "signature"))
        return signature_fits(request, signature, signer.key, signer.iv)

    @pytest.mark.parametrize("padding", [bytes([12]) * 12, bytes(12)], ids=["PKCS#7", "zeros"])
    def test_both_paddings_are_taken(self, padding: bytes) -> None:
        assert self.fits(self.signer.message(said(), padding=padding))

    def test_nothing_else_is(self) -> None:
        message = self.signer.message(said())
        assert not self.fits(self.signer.message(said(), padding=bytes([1]) * 12))
        assert not self.fits(message, Signer("pkr", bytes(32), self.signer.iv))
        assert not self.fits(message, Signer("pkr", self.signer.key, bytes(16)))
        assert not self.fits(message | {"request": base64.b64encode(b"{}").decode()})
        for wrong in (b"", bytes(32), bytes(31), bytes(48)):
            assert not self.fits(message | {"signature": base64.b64encode(wrong).decode()})


class TestKeys:
    async def test_each_kind_of_track_gets_a_key(self, server: KeyServer) -> None:
        signer = await server.packager()
        answer = await server.asks(signer.message(said()))
        assert answer["status"] == "OK"
        assert [track["type"] for track in answer["tracks"]] == TYPES
        assert len({track["key"] for track in answer["tracks"]}) == 5
        key_ids = [base64.b64decode(track["key_id"]) for track in answer["tracks"]]
        for track in answer["tracks"]:
            assert len(base64.b64decode(track["key"])) == len(base64.b64decode(track["iv"])) == 16
            (header,) = track["pssh"]
            (box,) = pssh.read_pssh(base64.b64decode(header["boxes"]))
            assert (header["drm_type"], box.data) == ("WIDEVINE", base64.b64decode(header["data"]))
            assert box.named_key_ids() == tuple(key_ids)
            assert pssh.widevine_fields(box.data)[4] == [b"film-1"]

    async def test_only_cbcs_gets_an_initialization_vector(self, server: KeyServer) -> None:
        signer = await server.packager()
        answer = await server.asks(signer.message(said(protection_scheme="CENC")))
        assert not any("iv" in track for track in answer["tracks"])

    async def test_the_same_request_gets_the_same_keys_from_every_packager_of_the_organisation(
        self, server: KeyServer
    ) -> None:
        one, other = await server.packager(), await server.packager()
        assert await server.asks(one.message(said())) == await server.asks(other.message(said()))
        assert await server.asks(one.message(said(content_id="AAAA"))) != await server.asks(one.message(said()))

    async def test_keys_rotate_by_periods_and_overlapping_requests_agree(self, server: KeyServer) -> None:
        signer = await server.packager()
        first = (await server.asks(signer.message(rotating(100))))["tracks"]
        assert [track["crypto_period_index"] for track in first] == [n for n in range(100, 110) for _ in TYPES]
        assert len({track["key"] for track in first}) == 50
        later = (await server.asks(signer.message(rotating(105))))["tracks"]
        assert later[:25] == first[25:]
        for track in first:
            (box,) = pssh.read_pssh(base64.b64decode(track["pssh"][0]["boxes"]))
            assert len(box.named_key_ids()) == 5, "those of its own period"

    async def test_a_content_cannot_grow_for_ever(self, server: KeyServer) -> None:
        signer = await server.packager()
        await server.asks(signer.message(rotating(0)))
        await server.sql(
            "INSERT INTO content_keys (key_id, package_id, label, organisation_id, kek_id, version, sealed) SELECT "
            "decode(md5(n::text), 'hex'), package_id, 'X/' || n, organisation_id, kek_id, 1, '' FROM content_keys, "
            "generate_series(1, 49920) AS n WHERE label = 'SD/0'"
        )
        assert (await server.asks(signer.message(rotating(10, 6))))["status"] == "OK"
        assert (await server.asks(signer.message(rotating(20))))["status"] == "ACCESS_DENIED"

    async def test_a_delivery_is_announced_with_everything_but_the_keys(self, server: KeyServer) -> None:
        signer = await server.packager()
        answer = await server.asks(signer.message(said(content_id=base64.b64encode(b"\xff\x00").decode())))
        told = await server.bus.hears(events_pb2.ContentKeysProvided)
        assert (told.content_id, told.actor) == ("ff00", f"packager/{signer.name}")
        assert told.protocol == drm_pb2.KEY_PROTOCOL_WIDEVINE
        assert list(told.key_ids) == [base64.b64decode(track["key_id"]).hex() for track in answer["tracks"]]
        for track in answer["tracks"]:
            assert not any(base64.b64decode(track["key"]) in data for data in server.bus.said())
        assert not any(signer.key in data for data in server.bus.said())


class TestRefusals:
    async def test_who_did_not_sign_or_is_not_known_gets_nothing(
        self, server: KeyServer, other_organisation_key: str
    ) -> None:
        signer = await server.packager()
        message = signer.message(said())
        for changed in (
            {"signature": base64.b64encode(bytes(32)).decode()},
            {"signature": ""},
            {"signer": new_id("pkr")},
            {"signer": "widevine_test"},
            {"signer": ""},
            {"request": base64.b64encode(json.dumps(said(policy="x")).encode()).decode()},
        ):
            assert await server.asks(message | changed) == {"status": "SIGNATURE_FAILED"}
        # A credential of another kind changes nothing.
        answer = await server.http.post(
            "/cenc/getcontentkey", json=message, headers={"authorization": f"Bearer {other_organisation_key}"}
        )
        assert json.loads(base64.b64decode(answer.json()["response"]))["status"] == "OK"

    async def test_a_deleted_packager_signs_nothing_more_and_its_keys_stay(self, server: KeyServer) -> None:
        signer, other = await server.packager(), await server.packager()
        before = await server.asks(signer.message(said()))
        delete = api.DeletePackagerRequest(packager_id=signer.name)
        await server.admin.DeletePackager(delete)
        await server.admin.DeletePackager(delete)
        assert await server.asks(signer.message(said())) == {"status": "SIGNATURE_FAILED"}
        assert await server.asks(other.message(said())) == before
        assert (await server.bus.hears(events_pb2.PackagerDeleted)).packager_id == signer.name
        assert len(server.bus.heard(events_pb2.PackagerDeleted)) == 1

    @pytest.mark.parametrize(
        "body", [b"", b"[]", b"{}", b'{"request": 7}', b'{"request": "AAAA", "signer": "\\ud800"}', b"\xff"]
    )
    async def test_what_is_no_message_is_malformed(self, server: KeyServer, body: bytes) -> None:
        answer = await server.http.post("/cenc/getcontentkey/any-name", content=body)
        assert json.loads(base64.b64decode(answer.json()["response"])) == {"status": "MALFORMED_REQUEST"}

    async def test_signed_nonsense_has_its_status(self, server: KeyServer) -> None:
        signer = await server.packager()
        assert await server.asks(signer.message(b"nonsense")) == {"status": "MALFORMED_REQUEST"}
        assert await server.asks(signer.message(said(tracks=[]))) == {"status": "TRACK_TYPE_MISSING"}


class TestPackagers:
    async def test_the_key_is_shown_once(self, server: KeyServer) -> None:
        request = api.CreatePackagerRequest(request_id=new_id("req"), display_name="Ours")
        made = await server.admin.CreatePackager(request)
        assert (len(made.signing_key), len(made.signing_iv)) == (32, 16)
        again = await server.admin.CreatePackager(request)
        assert again.packager == made.packager
        assert (again.signing_key, again.signing_iv) == (b"", b"")
        assert (await server.bus.hears(events_pb2.PackagerCreated)).packager_id == made.packager.packager_id
        stored = await server.sql("SELECT sealed FROM content_keys") + await server.sql("SELECT response FROM replies")
        assert not any(made.signing_key in row[0] for row in stored)

    async def test_they_are_listed_newest_first_to_their_organisation_alone(
        self, server: KeyServer, other_organisation_key: str
    ) -> None:
        for name in ("one", "two", "three"):
            await server.packager(name, holder(1).der if name == "two" else b"")
        first = await server.admin.ListPackagers(api.ListPackagersRequest(page_size=2))
        assert [packager.display_name for packager in first.packagers] == ["three", "two"]
        assert [bool(packager.signing_certificate_sha256) for packager in first.packagers] == [False, True]
        rest = await server.admin.ListPackagers(api.ListPackagersRequest(page_size=2, page_token=first.next_page_token))
        assert [packager.display_name for packager in rest.packagers] == ["one"]
        async with connected(server.settings, "drm", key=other_organisation_key) as channel:
            other = stub_of(channel)
            assert not (await other.ListPackagers(api.ListPackagersRequest())).packagers
            await other.DeletePackager(api.DeletePackagerRequest(packager_id=first.packagers[0].packager_id))
        assert len((await server.admin.ListPackagers(api.ListPackagersRequest())).packagers) == 3

    async def test_a_certificate_that_cannot_be_used_is_refused(self, server: KeyServer) -> None:
        for certificate in (b"nonsense", holder(1, "small").der):
            refusal = await refused(server.packager(certificate=certificate))
            assert (refusal.code.name, refusal.reason) == ("INVALID_ARGUMENT", "CERTIFICATE_UNUSABLE")
            assert refusal.metadata["words"]
