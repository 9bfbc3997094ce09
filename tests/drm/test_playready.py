"""PlayReady: what a challenge says, what the licence server is told, and what becomes of its answers."""

from __future__ import annotations

import base64
import contextlib
import json
import secrets
import uuid
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest
from hypothesis import given
from hypothesis import strategies as st
from joserfc.jwk import ECKey
from lxml import etree

from services.drm.domain import ContentKey
from services.drm.licences.granting import Asked
from services.drm.licences.policy import Hdcp, SecurityLevel, TrackRule
from services.drm.playready import faults, restrictions
from services.drm.playready.challenge import KEY_SYSTEM, MOST_BYTES, MOST_KEYS, key_id_of, read
from services.drm.playready.licensing import PlayReady
from services.drm.playready.statement import Stater
from services.drm.upstream import refusals
from services.drm.upstream.acquiring import licence
from services.drm.upstream.client import Limits, Upstream
from services.kit.clock import FixedClock
from services.kit.errors import Refusal, unavailable
from services.kit.ids import new_id
from tests.drm.ledger import TICKET, Ledger
from tests.support.licence_servers import Mood, Servers, licence_servers
from tests.support.playready_device import PROTOCOLS, Device, header, kid

VECTORS = Path(__file__).resolve().parents[3] / "shared/vectors/pssh/wpt-content-metadata-excerpt.json"
NOW = datetime(2026, 11, 28, 12, tzinfo=UTC)
SL3000, SL2000 = Device(level=3000), Device(level=2000)
KEY = secrets.token_bytes(16)


class TestWhatAChallengeSays:
    @pytest.mark.parametrize("version", ["4.0.0.0", "4.1.0.0", "4.2.0.0", "4.3.0.0"])
    def test_the_key_of_a_header_of_every_version(self, version: str) -> None:
        challenge = read(SL2000.challenge(KEY, version=version))
        assert challenge.key_ids == (KEY,)
        assert not challenge.offline

    def test_published_headers_name_the_published_keys(self) -> None:
        """Of web-platform-tests: a PSSH with a PlayReady Object, its one record a WRMHEADER in UTF-16."""
        if not VECTORS.exists():
            pytest.skip("the shared vectors are not here")
        system, found = uuid.UUID("9a04f079-9840-4286-ab92-e65be0885f95").bytes, 0
        for content in json.loads(VECTORS.read_text()):
            data = base64.b64decode(content["initData"])
            if (place := data.find(system)) < 0:
                continue
            size = int.from_bytes(data[place + 16 : place + 20], "big")
            record = data[place + 20 : place + 20 + size][10:]
            challenge = read(SL2000.challenge(KEY, header=record.decode("utf-16-le")))
            assert challenge.key_ids[0].hex() == content["kid"]
            found += 1
        assert found

    def test_many_keys_each_once(self) -> None:
        others = [secrets.token_bytes(16) for _ in range(5)]
        assert read(SL2000.challenge(KEY, *others, KEY)).key_ids == (KEY, *others)

    def test_key_ids_are_guids_and_turned_round(self) -> None:
        assert key_id_of("KnMyAHF3FESMOpAhOfYcfA==").hex() == "0032732a777144148c3a902139f61c7c"

    def test_the_document_stays_as_it_came(self) -> None:
        document = SL2000.challenge(KEY)
        assert read(document).document is document

    @pytest.mark.parametrize(
        ("custom", "offline"),
        [('{"offline": true}', True), ('{"offline": 1}', False), ("offline", False), ("[" * 100, False), ("", False)],
    )
    def test_a_licence_to_keep_is_asked_for_by_custom_data(self, custom: str, offline: bool) -> None:
        assert read(SL2000.challenge(KEY, custom=custom)).offline is offline

    ENTITY = '<?xml version="1.0"?><!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]>'
    LAUGHS = (
        '<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">'
        '<!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;"><!ENTITY d "&c;&c;&c;&c;&c;&c;&c;&c;">]>'
    )
    HOSTILE: tuple[tuple[str, dict[str, str]], ...] = (
        ("an external entity", {"before": ENTITY, "custom": "<CustomData>&e;</CustomData>"}),
        ("entities within entities", {"before": LAUGHS, "custom": "<CustomData>&d;</CustomData>"}),
        ("a document type without use", {"before": "<!DOCTYPE x>"}),
        ("another LA beside", {"beside": f'<LA xmlns="{PROTOCOLS}" Id="SignedData"/>'}),
        ("another header beside", {"beside": header("4.3.0.0", (KEY,))}),
        ("another header inside", {"custom": f"<CustomData>{header('4.3.0.0', (KEY,))}</CustomData>"}),
        ("an LA that is not signed", {"identity": "Other"}),
        ("no header", {"header": ""}),
        ("an unknown version", {"header": header("4.4.0.0", (KEY,))}),
        ("a header elsewhere", {"header": f"<x>{header('4.3.0.0', (KEY,))}</x>"}),
        ("no nonce", {"nonce": ""}),
        ("a short nonce", {"nonce": "<LicenseNonce>AAAA</LicenseNonce>"}),
        ("two custom data", {"custom": "<CustomData/><CustomData/>"}),
        ("a kid that is none", {"header": header("4.3.0.0", (KEY,)).replace(kid(KEY), "AAAA")}),
        ("a kid that is not base64", {"header": header("4.3.0.0", (KEY,)).replace(kid(KEY), "é" * 24)}),
        ("too many keys", {"header": header("4.3.0.0", tuple(bytes([n]) * 16 for n in range(MOST_KEYS + 1)))}),
        ("too many elements", {"custom": f"<CustomData>{'<x/>' * 6000}</CustomData>"}),
        ("too deep", {"custom": f"<CustomData>{'<x>' * 1000}{'</x>' * 1000}</CustomData>"}),
        ("too long", {"custom": f"<CustomData>{'x' * MOST_BYTES}</CustomData>"}),
        ("not closed", {"beside": "<x>"}),
    )

    @pytest.mark.parametrize(("what", "parts"), HOSTILE, ids=[what for what, _ in HOSTILE])
    def test_a_message_with_a_trick_in_it_is_refused(self, what: str, parts: dict[str, str]) -> None:
        self.refused(SL2000.challenge(KEY, **parts))

    @pytest.mark.parametrize("document", [b"", b"\0", b"<x/>", b"{}", b"\xff\xfe<\0x\0/\0>\0", b"<a>" * 300])
    def test_anything_else_is_refused(self, document: bytes) -> None:
        self.refused(document)

    def refused(self, document: bytes) -> None:
        with pytest.raises(Refusal) as caught:
            read(document)
        found = caught.value
        assert (found.code, found.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "LICENCE_REQUEST_MALFORMED")
        assert found.metadata == {"key_system": KEY_SYSTEM}
        assert "root:" not in str(found.as_json())

    @given(st.binary(max_size=100), st.integers(min_value=0, max_value=1500))
    def test_made_up_bytes_are_read_or_refused(self, noise: bytes, place: int) -> None:
        whole = SL2000.challenge(KEY)
        for document in (noise, whole[:place], whole[:place] + noise + whole[place:]):
            with contextlib.suppress(Refusal):
                read(document)


class TestThePolicyInPlayReadysWords:
    def test_nothing_is_asked_for(self) -> None:
        assert restrictions.of(TrackRule()) == {
            "minimum_security_level": 2000,
            "uncompressed_digital_video_opl": 100,
            "compressed_digital_video_opl": 400,
            "analog_video_opl": 100,
        }

    def test_everything_is(self) -> None:
        rule = TrackRule(SecurityLevel.HARDWARE, Hdcp.V2_2, analogue_allowed=False)
        assert restrictions.of(rule) == {
            "minimum_security_level": 3000,
            "uncompressed_digital_video_opl": 300,
            "compressed_digital_video_opl": 500,
            "analog_video_opl": 200,
            "digital_video_output_protections": [{"id": restrictions.HDCP_TYPE, "config_data": "AAAAAQ=="}],
            "analog_video_output_protections": [{"id": restrictions.DIGITAL_ONLY, "config_data": "AAAAAA=="}],
        }

    @pytest.mark.parametrize(("hdcp", "typed"), [(Hdcp.V1, False), (Hdcp.V2_0, True)])
    def test_hdcp_2_is_said_by_its_type(self, hdcp: Hdcp, typed: bool) -> None:
        said = restrictions.of(TrackRule(hdcp=hdcp))
        assert said["uncompressed_digital_video_opl"] == 300
        assert ("digital_video_output_protections" in said) is typed

    @pytest.mark.parametrize(
        ("text", "level"),
        [("3000", 2), ("3001", 2), ("2000", 1), ("150", 1), ("", 1), ("-3000", 1), ("٣٠٠٠", 1), ("9" * 5000, 2)],
    )
    def test_a_level_that_is_not_said_is_software(self, text: str, level: int) -> None:
        assert restrictions.level_of(text) == SecurityLevel(level)


def told(fault: bytes) -> tuple[str, str, str]:
    """Status code, text and custom data of a fault."""
    root = etree.fromstring(fault)
    (found,) = root.iter("{http://schemas.xmlsoap.org/soap/envelope/}Fault")
    values = [
        found.findtext(path) for path in ("detail/Exception/StatusCode", "faultstring", "detail/Exception/CustomData")
    ]
    return values[0] or "", values[1] or "", values[2] or ""


class TestFaults:
    @pytest.mark.parametrize(
        ("refusal", "code"),
        [
            (refusals.refused_player("playready", "0x8004C065"), "0x8004C065"),
            (refusals.refused_player("playready", "0x8004C605"), "0x8004C605"),
            (refusals.refused_player("playready", "REVOKED"), "0x8004C604"),
            (refusals.refused_us("playready", "HTTP_403"), "0x8004C604"),
            (refusals.unavailable("playready", "timeout", None), "0x8004C600"),
            (refusals.not_offered(KEY_SYSTEM), "0x8004C604"),
            (unavailable("the policy service"), "0x8004C600"),
            (
                Refusal(grpc.StatusCode.UNAUTHENTICATED, "TICKET_EXPIRED", "late", domain="policy.reelmesh"),
                "0x8004C604",
            ),
        ],
    )
    def test_each_refusal_has_a_code_of_playreadys(self, refusal: Refusal, code: str) -> None:
        answer = faults.fault(refusal).http_body()
        found, text, custom = told(answer.data)
        assert (found, text) == (code, refusal.message)
        assert custom.startswith(f"{refusal.domain}/{refusal.reason}")
        assert answer.content_type.startswith("text/xml; charset=utf-8; status=500")

    def test_a_text_cannot_become_markup(self) -> None:
        hostile = Refusal(grpc.StatusCode.INTERNAL, "X", "</faultstring>\0&x;\ud800", domain="x")
        assert told(faults.fault(hostile).data)[1] == "</faultstring> &x; "

    @pytest.mark.parametrize(
        "document", [b"", b"<x/>", b"<!DOCTYPE x><Fault/>", b"<Fault><StatusCode>7</StatusCode></Fault>"]
    )
    def test_what_is_no_fault_is_not_taken_for_one(self, document: bytes) -> None:
        assert faults.status_code(document) is None


@pytest.fixture
async def servers() -> AsyncIterator[Servers]:
    async with licence_servers() as servers:
        yield servers
        assert servers.wrong == []


@pytest.fixture
def clock() -> FixedClock:
    return FixedClock(NOW)


@pytest.fixture
def ledger(clock: FixedClock) -> Ledger:
    return Ledger(clock, [ContentKey.new(label) for label in ("AUDIO", "HD", "UHD1")])


def server(servers: Servers, clock: FixedClock, key: ECKey | None = None, secret: bytes = b"") -> PlayReady:
    url = servers.settings()["drm_playready_url"]
    upstream = Upstream("playready", url, clock, limits=Limits(whole=4, connect=4))
    servers.at_end.append(upstream.close)
    pem = (key or servers.stating_key).as_pem(private=True)
    return PlayReady(upstream, Stater(pem, secret or servers.secret, url), clock)


async def play(playready: PlayReady, ledger: Ledger, document: bytes, *, ticket: str = TICKET) -> bytes:
    found = read(document)
    asked = Asked(
        ticket, new_id("pkg"), found.key_ids, KEY_SYSTEM, SecurityLevel.HARDWARE, Hdcp.V2_2, offline=found.offline
    )
    return await licence(ledger, playready.about(found), asked)


async def refused(playready: PlayReady, ledger: Ledger, document: bytes, **options: Any) -> Refusal:
    with pytest.raises(Refusal) as caught:
        await play(playready, ledger, document, **options)
    return caught.value


def all_of(ledger: Ledger) -> list[bytes]:
    return [key.key_id for key in ledger.keys]


class TestLicences:
    @pytest.fixture
    def playready(self, servers: Servers, clock: FixedClock) -> PlayReady:
        return server(servers, clock)

    async def test_a_player_in_hardware_gets_all_keys(
        self, servers: Servers, playready: PlayReady, ledger: Ledger
    ) -> None:
        document = SL3000.challenge(*all_of(ledger))
        made = await play(playready, ledger, document)
        assert SL3000.keys(made) == {key.key_id: key.key for key in ledger.keys}
        assert servers.bodies == [document, document], "byte for byte: it is signed"
        levels = [one["restrictions"]["minimum_security_level"] for one in SL3000.licences(made)]
        assert levels == [2000, 2000, 3000]
        (issue,) = ledger.issues
        assert issue.asked.security_level == SecurityLevel.HARDWARE

    async def test_no_uhd_key_goes_anywhere_for_a_player_in_software(
        self, servers: Servers, playready: PlayReady, ledger: Ledger
    ) -> None:
        made = await play(playready, ledger, SL2000.challenge(*all_of(ledger)))
        assert SL2000.keys(made) == {key.key_id: key.key for key in ledger.keys[:2]}
        told_ids = {key["key_id"] for order in servers.orders for key in order.get("keys", ())}
        assert told_ids == {str(uuid.UUID(bytes=key.key_id)) for key in ledger.keys[:2]}
        (issue,) = ledger.issues
        assert list(issue.dropped) == [ledger.keys[2].key_id]

    async def test_who_asks_for_uhd_only_and_is_software_is_refused(
        self, servers: Servers, playready: PlayReady, ledger: Ledger
    ) -> None:
        refusal = await refused(playready, ledger, SL2000.challenge(ledger.keys[2].key_id))
        assert refusal.reason == "SECURITY_LEVEL_TOO_LOW"
        assert not servers.licensed
        assert len(ledger.refusals) == 1

    async def test_only_keys_that_the_session_may_have_are_told(
        self, servers: Servers, playready: PlayReady, ledger: Ledger
    ) -> None:
        foreign = secrets.token_bytes(16)
        made = await play(playready, ledger, SL2000.challenge(foreign, ledger.keys[1].key_id))
        assert SL2000.keys(made) == {ledger.keys[1].key_id: ledger.keys[1].key}
        (order,) = servers.orders
        assert [key["key_id"] for key in order["keys"]] == [str(uuid.UUID(bytes=ledger.keys[1].key_id))]

    async def test_a_bad_ticket_never_gets_to_the_licence_server(
        self, servers: Servers, playready: PlayReady, ledger: Ledger
    ) -> None:
        assert (await refused(playready, ledger, SL3000.challenge(KEY), ticket="x")).reason == "TICKET_INVALID"
        assert servers.asked == 0

    async def test_what_is_ordered_is_the_policy(self, servers: Servers, playready: PlayReady, ledger: Ledger) -> None:
        ledger.policy = replace(
            ledger.policy, licence_duration=timedelta(hours=1), playback_duration=timedelta(minutes=30)
        )
        await play(playready, ledger, SL3000.challenge(ledger.keys[1].key_id))
        (order,) = servers.orders
        now = int(NOW.timestamp())
        assert order["licence"] == {
            "persistent": False,
            "begin_time": now,
            "end_time": now + 3600,
            "real_time_expiration": True,
            "expiration_after_first_play": 1800,
        }
        (issue,) = ledger.issues
        assert (order["jti"], order["package_id"]) == (issue.licence_id, issue.package_id)
        assert order["session_id"] == issue.session_id

    async def test_a_licence_to_keep(self, servers: Servers, playready: PlayReady, ledger: Ledger) -> None:
        document = SL2000.challenge(ledger.keys[1].key_id, custom=json.dumps({"offline": True}))
        assert (await refused(playready, ledger, document)).reason == "OFFLINE_NOT_ALLOWED"
        ledger.policy, ledger.download = replace(ledger.policy, offline=True, rental_duration=timedelta(days=1)), True
        await play(playready, ledger, document)
        order = servers.orders[0]["licence"]
        assert order["persistent"]
        assert order["end_time"] - order["begin_time"] == 86400

    async def test_a_statement_with_as_many_keys_as_may_be_asked_for_fits_into_a_header(
        self, servers: Servers, playready: PlayReady, ledger: Ledger, clock: FixedClock
    ) -> None:
        """8 KiB are what servers take."""
        labels = ["AUDIO", "SD", "HD", "UHD1", "UHD2"]
        ledger.keys = [ContentKey.new(labels[n % 5]) for n in range(MOST_KEYS)]
        document = SL3000.challenge(*all_of(ledger))
        assert len(SL3000.keys(await play(playready, ledger, document))) == MOST_KEYS
        grant = await ledger.granted(ledger.asks[0])
        stater = Stater(
            servers.stating_key.as_pem(private=True), servers.secret, "https://licences.example/" + "x" * 100
        )
        assert len(stater.licensing(read(document), grant, clock.now())) < 8000


class TestWhenTheLicenceServerRefuses:
    @pytest.fixture
    def playready(self, servers: Servers, clock: FixedClock) -> PlayReady:
        return server(servers, clock)

    async def test_a_statement_that_it_does_not_believe_is_our_fault(
        self, servers: Servers, clock: FixedClock, ledger: Ledger
    ) -> None:
        for wrong in (
            server(servers, clock, key=ECKey.generate_key("P-256")),
            server(servers, clock, secret=secrets.token_bytes(32)),
        ):
            refusal = await refused(wrong, ledger, SL3000.challenge(*all_of(ledger)))
            assert (refusal.code, refusal.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "UPSTREAM_REFUSED_US")
            assert refusal.metadata == {"upstream": "playready", "status": "HTTP_403"}

    @pytest.mark.parametrize("code", ["0x8004C065", "0x8004c605", "0x8004C606", "0x8004C60B"])
    async def test_its_status_code_comes_through_and_nothing_else_of_its(
        self, playready: PlayReady, ledger: Ledger, code: str
    ) -> None:
        refusal = await refused(playready, ledger, Device(state=code).challenge(*all_of(ledger)))
        assert (refusal.code, refusal.reason) == (grpc.StatusCode.PERMISSION_DENIED, "UPSTREAM_REFUSED_PLAYER")
        fault = faults.fault(refusal).data
        assert told(fault)[0].lower() == code.lower()
        assert b"secret.cs" not in fault
        assert b"10.0.0.7" not in fault
        assert len(ledger.refusals) == 1

    async def test_a_fault_of_its_own_is_trouble(self, playready: PlayReady, ledger: Ledger) -> None:
        refusal = await refused(playready, ledger, Device(state="0x8004C600").challenge(*all_of(ledger)))
        assert (refusal.reason, refusal.metadata["why"]) == ("UPSTREAM_UNAVAILABLE", "failing")

    async def test_a_player_that_is_said_to_be_another_gets_nothing(
        self, servers: Servers, playready: PlayReady, ledger: Ledger
    ) -> None:
        servers.mood = "lies"
        refusal = await refused(playready, ledger, SL3000.challenge(*all_of(ledger)))
        assert refusal.reason == "UPSTREAM_CONTRADICTED"
        assert not ledger.issues

    @pytest.mark.parametrize(
        ("mood", "reason"),
        [
            ("empty", "UPSTREAM_CONTRADICTED"),
            ("babbles", "UPSTREAM_UNAVAILABLE"),
            ("fails", "UPSTREAM_UNAVAILABLE"),
            ("hangs", "UPSTREAM_UNAVAILABLE"),
            ("moved", "UPSTREAM_REFUSED_US"),
        ],
    )
    async def test_no_answer_is_no_licence(
        self, servers: Servers, playready: PlayReady, ledger: Ledger, mood: Mood, reason: str
    ) -> None:
        servers.mood = mood
        refusal = await refused(playready, ledger, SL2000.challenge(ledger.keys[0].key_id))
        assert refusal.reason == reason
        assert b"secret.cs" not in faults.fault(refusal).data
        assert not ledger.issues
        assert len(ledger.refusals) == 1


class TestTheKeysOfStatements:
    def test_others_than_those_that_are_needed_are_refused_at_start(self) -> None:
        good = ECKey.generate_key("P-256")
        for pem in (good.as_pem(private=False), ECKey.generate_key("P-384").as_pem(private=True), b"no key"):
            with pytest.raises(ValueError):  # noqa: PT011  # the libraries word it
                Stater(pem, bytes(32), "https://x.example")
        with pytest.raises(ValueError, match="32 bytes"):
            Stater(good.as_pem(private=True), bytes(16), "https://x.example")
