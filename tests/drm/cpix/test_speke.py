"""SPEKE v2: requests as encryptors send them, the answers that they want, and the words of refusals."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from lxml import etree

from services.drm.cpix import answering, contract, delivery, markup, reading, schema, signatures, writing
from services.drm.cpix.answering import KeyValue
from services.drm.cpix.document import AudioFilter, Document, UsageRule, VideoFilter
from services.drm.cpix.faults import CertificateUnusable, Refused
from services.drm.cpix.markup import CPIX
from services.drm.cpix.signalling import COMMON, FAIRPLAY, PLAYREADY, WIDEVINE
from services.kit import pssh
from tests.drm.cpix.certificates import NOW, holder
from tests.drm.cpix.requests import asked, key_id, request, rule

VECTORS = Path(__file__).resolve().parents[4] / "shared/vectors/speke/general"
C = f"{{{CPIX}}}"
SYSTEMS = [
    ((WIDEVINE,), "cenc"),
    ((PLAYREADY,), "cenc"),
    ((FAIRPLAY,), "cbcs"),
    ((WIDEVINE, PLAYREADY), "cenc"),
    ((WIDEVINE, FAIRPLAY), "cbcs"),
    ((PLAYREADY, FAIRPLAY), "cbcs"),
    ((WIDEVINE, PLAYREADY, FAIRPLAY, COMMON), "cbcs"),
]


def vector(start: str) -> bytes:
    found = sorted(VECTORS.glob(f"{start}_*.xml"))
    if not found:
        pytest.skip("the shared vectors are not here")
    return found[0].read_bytes()


def keys_of(document: Document) -> dict[bytes, KeyValue]:
    return {
        key.key_id: KeyValue(bytes([number] * 16), bytes([255 - number] * 16))
        for number, key in enumerate(document.keys)
    }


def answered(data: bytes, **more: object) -> Document:
    """The answer to a request, which is CPIX by the letter when the request is."""
    found = answering.read(data, "2.0")
    answer = answering.answer(found, keys_of(found.document), NOW, **more)  # type: ignore[arg-type]  # a signer
    root = markup.read(answer)
    schema.judge(root)
    return reading.document_of(root)


def words_of(data: bytes, version: str = "2.0") -> str:
    with pytest.raises(Refused) as refused:
        answering.read(data, version)
    return refused.value.words


class TestAmazonsOwnRequests:
    def test_a_key_for_pictures_and_one_for_sound(self) -> None:
        data = vector("1")
        before, after = reading.read(data), answered(data)
        assert (after.content_id, after.version) == ("test_case_generic", "2.3")
        assert [key.value for key in after.keys] == [bytes(16), bytes([1] * 16)]
        assert [replace(key, value=None) for key in after.keys] == list(before.keys), "ids and schemes as they came"
        assert after.rules == before.rules
        assert {system.system_id for system in after.systems} == {WIDEVINE}

    def test_one_key_for_everything_in_a_period(self) -> None:
        data = vector("2")
        before, after = reading.read(data), answered(data)
        assert (after.periods, after.rules) == (before.periods, before.rules)
        assert after.keys[0].value == bytes(16)

    def test_another_version_of_cpix(self) -> None:
        assert words_of(vector("3")) == "Unsupported CPIX@version"

    @pytest.mark.parametrize("number", ["4", "5"], ids=["video", "audio"])
    def test_a_key_for_everything_beside_others(self, number: str) -> None:
        assert words_of(vector(number)) == "Malformed encryption contract"


class TestPresets:
    @pytest.mark.parametrize(("systems", "scheme"), SYSTEMS)
    @pytest.mark.parametrize("video", [*contract.VIDEO_PRESETS, contract.UNENCRYPTED])
    @pytest.mark.parametrize("audio", [*contract.AUDIO_PRESETS, contract.UNENCRYPTED])
    def test_every_preset_for_every_combination_of_systems_is_answered(
        self, video: str, audio: str, systems: tuple[str, ...], scheme: str
    ) -> None:
        types = contract.VIDEO_PRESETS.get(video, ()) + contract.AUDIO_PRESETS.get(audio, ())
        if not types:
            return
        document = asked(types, systems, scheme, period="keyPeriod_1")
        assert contract.presets(document) == (video, audio)
        after = answered(request(document))
        assert [key.scheme for key in after.keys] == [scheme] * len(types)
        assert len({key.value for key in after.keys}) == len(types)
        assert (after.rules, after.periods) == (document.rules, document.periods)
        assert len(after.systems) == len(types) * len(systems)
        for system in after.systems:
            if system.system_id != COMMON:
                assert {playlist for playlist, line in system.hls if line} == {"media", "master"}
            if system.system_id == FAIRPLAY:
                assert system.content_protection is None
                assert system.pssh is None
            else:
                assert system.content_protection
                (box,) = pssh.read_pssh(system.pssh or b"")
                assert box.named_key_ids() == (system.key_id,)

    def test_a_name_of_several_parts_may_have_one_filter_for_all(self) -> None:
        """As Amazon's suite has it, other than the specification's text."""
        one = UsageRule(key_id(0), "SD+HD1", video=(VideoFilter(max_pixels=921_600),))
        assert answered(request(replace(asked(["VIDEO"]), rules=(one,)))).rules == (one,)

    def test_the_shared_preset(self) -> None:
        document = asked(["ALL"])
        assert contract.presets(document) == (contract.SHARED, contract.SHARED)
        assert answered(request(document)).keys[0].value == bytes(16)

    @pytest.mark.parametrize(
        ("track_type", "kind"),
        [
            ("AUDIO", "AUDIO"),
            ("MULTICHANNEL_AUDIO", "AUDIO"),
            ("SD", "SD"),
            ("SD+HD1", "HD"),
            ("HD", "HD"),
            ("HD2", "HD"),
            ("UHD1", "UHD1"),
            ("UHD2", "UHD2"),
            ("UHD", "UHD1"),
            ("VIDEO", "HD"),
            ("ALL", "HD"),
        ],
    )
    def test_a_rule_tells_which_kind_of_track_its_key_is_for(self, track_type: str, kind: str) -> None:
        assert contract.kind_of(rule(0, track_type)) == kind

    def test_free_names_are_known_by_their_pixels(self) -> None:
        for pixels, kind in ((100, "SD"), (2_000_000, "HD"), (8_000_000, "UHD1"), (9_000_000, "UHD2")):
            assert contract.kind_of(UsageRule(key_id(0), "MINE", video=(VideoFilter(max_pixels=pixels),))) == kind
        assert contract.kind_of(UsageRule(key_id(0), "MINE", video=(VideoFilter(min_pixels=9_000_000),))) == "UHD2"


class TestSignalling:
    def systems(self, scheme: str, *systems: str) -> dict[str, tuple[bytes, bytes, dict[str, str]]]:
        after = answered(request(asked(["VIDEO"], systems, scheme)))
        return {
            system.system_id: (
                system.pssh or b"",
                system.content_protection or b"",
                {playlist: line.decode() for playlist, line in system.hls},
            )
            for system in after.systems
        }

    def test_media_and_master_say_the_same_by_another_name(self) -> None:
        for _, _, lines in self.systems("cbcs", WIDEVINE, PLAYREADY, FAIRPLAY).values():
            assert lines["media"].removeprefix("#EXT-X-KEY:") == lines["master"].removeprefix("#EXT-X-SESSION-KEY:")
            assert "SCHEME" not in lines["media"]

    def test_widevine(self) -> None:
        box, protection, lines = self.systems("cenc", WIDEVINE)[WIDEVINE]
        text = base64.b64encode(box).decode()
        assert etree.fromstring(protection).text == text
        assert lines["media"] == (
            f'#EXT-X-KEY:METHOD=SAMPLE-AES-CTR,URI="data:text/plain;base64,{text}",KEYID=0x{key_id(0).hex()},'
            'KEYFORMAT="urn:uuid:edef8ba9-79d6-4ace-a3c8-27dcd51d21ed",KEYFORMATVERSIONS="1"'
        )

    def test_playready(self) -> None:
        box, protection, lines = self.systems("cenc", PLAYREADY)[PLAYREADY]
        record = pssh.read_pssh(box)[0].data
        header = pssh.playready_header(record)
        assert f"<CHECKSUM>{pssh.checksum(key_id(0), bytes(16))}</CHECKSUM>" in header
        parts = etree.fromstring(b"<all>" + protection + b"</all>")
        assert parts.findtext("{urn:mpeg:cenc:2013}pssh") == base64.b64encode(box).decode()
        assert parts.findtext("{urn:microsoft:playready}pro") == base64.b64encode(record).decode()
        assert lines["media"] == (
            '#EXT-X-KEY:METHOD=SAMPLE-AES-CTR,KEYFORMAT="com.microsoft.playready",KEYFORMATVERSIONS="1",'
            f'URI="data:text/plain;charset=UTF-16;base64,{base64.b64encode(record).decode()}"'
        )

    def test_fairplay(self) -> None:
        _, _, lines = self.systems("cbcs", FAIRPLAY)[FAIRPLAY]
        assert lines["media"] == (
            f'#EXT-X-KEY:METHOD=SAMPLE-AES,URI="skd://{key_id(0).hex()}",'
            'KEYFORMAT="com.apple.streamingkeydelivery",KEYFORMATVERSIONS="1"'
        )

    def test_only_what_is_asked_for_is_told(self) -> None:
        data = re.sub(rb"<cpix:(PSSH|ContentProtectionData) ?/>", b"", request(asked(["VIDEO"], [WIDEVINE])))
        data = re.sub(rb"<cpix:(PSSH|ContentProtectionData)></cpix:\1>", b"", data)
        (system,) = answered(data).systems
        assert (system.pssh, system.content_protection) == (None, None)
        assert all(line for _, line in system.hls)

    def test_smooth_streaming_gets_playreadys_object(self) -> None:
        document = asked(["VIDEO"], [PLAYREADY])
        document = replace(document, systems=(replace(document.systems[0], smooth_streaming=""),))
        (system,) = answered(request(document)).systems
        assert base64.b64decode(system.smooth_streaming or "") == pssh.read_pssh(system.pssh or b"")[0].data


class TestInitializationVectors:
    def test_cbcs_gets_one_and_cenc_only_when_it_has_one(self) -> None:
        assert answered(request(asked(["VIDEO"], [FAIRPLAY], "cbcs"))).keys[0].explicit_iv == bytes([255] * 16)
        document = asked(["VIDEO"])
        assert answered(request(document)).keys[0].explicit_iv is None
        document = replace(document, keys=(replace(document.keys[0], explicit_iv=bytes(16)),))
        assert answered(request(document)).keys[0].explicit_iv == bytes([255] * 16), "the one that is kept"


class TestDelivery:
    def test_with_recipients_keys_are_for_them_alone(self) -> None:
        document = asked(recipients=(holder(1).der, holder(2).der))
        found = answering.read(request(document), "2.0")
        keys = keys_of(found.document)
        root = markup.read(answering.answer(found, keys, NOW))
        schema.judge(root, strictly=True)
        assert not list(root.iter("{urn:ietf:params:xml:ns:keyprov:pskc}PlainValue"))
        for recipient in (holder(1), holder(2)):
            opened = delivery.decrypted(root, recipient.certificate, recipient.key)
            assert opened == {key_id: value.key for key_id, value in keys.items()}

    def test_a_recipient_whose_certificate_is_weak_gets_nothing(self) -> None:
        document = asked(recipients=(holder(1).der, holder(1, "small").der))
        with pytest.raises(CertificateUnusable, match="1024 bits"):
            answered(request(document))

    def test_a_signed_request_gets_a_signed_answer(self) -> None:
        root = writing.tree_of(asked())
        signatures.sign(root, holder(1).certificate, holder(1).key)
        found = answering.read(markup.written(root), "2.0")
        answering.verify(found, [holder(1).der])
        answer = answering.answer(found, keys_of(found.document), NOW, (holder(2).certificate, holder(2).key))
        (verified,) = signatures.verify_whole(markup.read(answer), [holder(2).der])
        assert verified.certificate == holder(2).der


class TestNamespaces:
    def test_the_answer_declares_pskc_whatever_the_request_declared(self) -> None:
        bare = re.sub(rb' xmlns:(pskc|ds|enc)="[^"]*"', b"", request())
        found = answering.read(bare, "2.0")
        answer = answering.answer(found, keys_of(found.document), NOW)
        assert b'xmlns:pskc="urn:ietf:params:xml:ns:keyprov:pskc"' in answer
        assert b"<pskc:PlainValue>" in answer

    def test_a_request_with_other_prefixes_is_answered(self) -> None:
        default = (
            request().replace(b"cpix:", b"").replace(b"xmlns:cpix", b"xmlns").replace(b"xmlns:pskc", b"xmlns:pksc")
        )
        found = answering.read(
            re.sub(rb'xmlns="urn:dashif:org:cpix" ?', b'xmlns="urn:dashif:org:cpix" ', default), "2.0"
        )
        after = reading.read(answering.answer(found, keys_of(found.document), NOW))
        assert after.keys[0].value == bytes(16)


def without(element: str) -> Callable[[etree._Element], None]:
    def remove(root: etree._Element) -> None:
        for found in list(root.iter(C + element)):
            parent = found.getparent()
            assert parent is not None
            parent.remove(found)

    return remove


def without_attribute(element: str, name: str) -> Callable[[etree._Element], None]:
    def remove(root: etree._Element) -> None:
        for found in root.iter(C + element):
            found.attrib.pop(name, "")

    return remove


class TestRefusals:
    """Each with the words of the specification."""

    def changed(self, change: Callable[[etree._Element], None], document: Document | None = None) -> bytes:
        root = markup.read(request(document))
        change(root)
        return markup.written(root)

    @pytest.mark.parametrize("version", ["", "1.0", "2.1", "3.0", "2"])
    def test_another_version_of_speke_is_not_tried(self, version: str) -> None:
        assert words_of(b"not even XML", version) == "Unsupported SPEKE version"

    @pytest.mark.parametrize("value", [None, ""])
    @pytest.mark.parametrize("name", ["contentId", "version"])
    def test_a_document_without_its_content_or_version(self, name: str, value: str | None) -> None:
        def change(root: etree._Element) -> None:
            del root.attrib[name]
            if value is not None:
                root.set(name, value)

        assert words_of(self.changed(change)) == f"Missing CPIX@{name}"

    @pytest.mark.parametrize("empty", [False, True])
    def test_a_key_without_a_scheme(self, empty: bool) -> None:
        def change(root: etree._Element) -> None:
            second = list(root.iter(f"{C}ContentKey"))[1]
            if empty:
                second.set("commonEncryptionScheme", "")
            else:
                del second.attrib["commonEncryptionScheme"]

        kid = markup.key_id_text(key_id(1))
        assert words_of(self.changed(change)) == f"Missing ContentKey@commonEncryptionScheme for KID {kid}"

    def test_two_schemes_in_one_document(self) -> None:
        def change(root: etree._Element) -> None:
            next(root.iter(f"{C}ContentKey")).set("commonEncryptionScheme", "cbcs")

        assert words_of(self.changed(change)) == "Non compliant ContentKey@commonEncryptionScheme combination"

    @pytest.mark.parametrize(
        ("system", "scheme"),
        [(FAIRPLAY, "cenc"), (FAIRPLAY, "cbc1"), (WIDEVINE, "cbc1"), (PLAYREADY, "cens")],
    )
    def test_a_scheme_that_a_system_cannot_play(self, system: str, scheme: str) -> None:
        expected = f"ContentKey@commonEncryptionScheme non compatible with DRMSystem {system}"
        assert words_of(request(asked(["VIDEO"], [system], scheme))) == expected

    def test_a_system_that_nobody_here_can_answer_for(self) -> None:
        unknown = "3ea8778f-7742-4bf9-b18b-e834b2acbd47"
        assert words_of(request(asked(["VIDEO"], [unknown]))) == f"Unsupported DRMSystem@systemId {unknown}"

    @pytest.mark.parametrize(
        ("element", "words"),
        [
            ("ContentKeyList", "Missing ContentKey"),
            ("ContentKey", "Missing ContentKey"),
            ("DRMSystemList", "Missing DRMSystem"),
            ("DRMSystem", "Missing DRMSystem"),
            ("ContentKeyUsageRuleList", "Missing CPIX encryption contract"),
            ("ContentKeyUsageRule", "Missing CPIX encryption contract"),
        ],
    )
    def test_what_every_document_must_have(self, element: str, words: str) -> None:
        assert words_of(self.changed(without(element))) == words

    def test_a_contract_without_any_filter(self) -> None:
        def change(root: etree._Element) -> None:
            without("VideoFilter")(root)
            without("AudioFilter")(root)

        assert words_of(self.changed(change)) == "Missing CPIX encryption contract"

    @pytest.mark.parametrize(
        ("element", "name"),
        [("ContentKey", "kid"), ("DRMSystem", "kid"), ("DRMSystem", "systemId"), ("ContentKeyUsageRule", "kid")],
    )
    def test_attributes_that_must_be_there(self, element: str, name: str) -> None:
        from services.drm.cpix.faults import Malformed

        with pytest.raises(Malformed, match=element):
            answering.read(self.changed(without_attribute(element, name)), "2.0")

    def contract(self, *rules: UsageRule) -> str:
        document = asked(["VIDEO"] * len(rules))
        return words_of(request(replace(document, rules=rules)))

    @pytest.mark.parametrize(
        "rules",
        [
            [UsageRule(key_id(0), "", video=(VideoFilter(),))],
            [UsageRule(key_id(0), "A" * 65, video=(VideoFilter(),))],
            [UsageRule(key_id(0), "SD", video=(VideoFilter(max_pixels=1), VideoFilter(min_pixels=2)))],
            [UsageRule(key_id(0), "SD+SD", video=(VideoFilter(max_pixels=1), VideoFilter(min_pixels=2)))],
            [UsageRule(key_id(0), "SD+", video=(VideoFilter(), VideoFilter()))],
            [UsageRule(key_id(0), "ALL", video=(VideoFilter(),))],
            [UsageRule(key_id(0), "ALL", video=(VideoFilter(max_pixels=1),), audio=(AudioFilter(),))],
            [UsageRule(key_id(0), "ALL", video=(VideoFilter(),), audio=(AudioFilter(), AudioFilter()))],
            [UsageRule(key_id(0), "VIDEO+AUDIO", video=(VideoFilter(),), audio=(AudioFilter(),))],
            [UsageRule(key_id(0), "VIDEO", video=(VideoFilter(),), labels=("x",))],
            [UsageRule(key_id(0), "VIDEO", video=(VideoFilter(min_pixels=5, max_pixels=4),))],
            [UsageRule(key_id(0), "VIDEO", video=(VideoFilter(min_pixels=-5),))],
            [UsageRule(key_id(0), "AUDIO", audio=(AudioFilter(max_channels=-1),))],
            [UsageRule(key_id(0), "VIDEO", ("nowhere",), video=(VideoFilter(),))],
            [rule(0, "VIDEO"), UsageRule(key_id(0), "AUDIO", audio=(AudioFilter(),))],
            [rule(0, "VIDEO"), UsageRule(key_id(9), "AUDIO", audio=(AudioFilter(),))],
            [rule(0, "VIDEO"), UsageRule(key_id(1), "VIDEO", video=(VideoFilter(max_pixels=1),))],
            [rule(0, "ALL"), rule(1, "AUDIO")],
            [rule(0, "VIDEO"), UsageRule(key_id(1), "AUDIO")],
        ],
    )
    def test_a_malformed_contract(self, rules: list[UsageRule]) -> None:
        assert self.contract(*rules) == "Malformed encryption contract"

    def test_a_key_that_no_rule_speaks_of(self) -> None:
        document = asked()
        assert words_of(request(replace(document, rules=document.rules[:1]))) == "Malformed encryption contract"

    def test_one_key_for_sound_and_pictures_beyond_hd(self) -> None:
        mixed = UsageRule(key_id(0), "UHD+AUDIO", video=(VideoFilter(min_pixels=2_073_601),), audio=(AudioFilter(),))
        assert self.contract(mixed) == "Requested CPIX encryption contract not supported"
        small = UsageRule(key_id(0), "SD+AUDIO", video=(VideoFilter(max_pixels=589_824),), audio=(AudioFilter(),))
        assert answered(request(replace(asked(["VIDEO"]), rules=(small,)))).rules == (small,)

    def test_a_key_that_comes_with_the_request(self) -> None:
        document = asked()
        brought = replace(document, keys=(replace(document.keys[0], value=bytes(16)), *document.keys[1:]))
        assert "brings a value" in words_of(request(brought))

    def test_more_than_anybody_needs(self) -> None:
        assert "128 keys at most" in words_of(request(asked(["VIDEO"] * 129)))
        assert "16 recipients at most" in words_of(request(asked(recipients=tuple(bytes([n]) for n in range(17)))))
        assert "at most 1024 characters" in words_of(request(asked(content_id="x" * 1025)))

    def test_in_each_period_a_track_type_has_a_key_of_its_own(self) -> None:
        from services.drm.cpix.document import KeyPeriod

        document = replace(
            asked(["VIDEO", "VIDEO"]),
            periods=(KeyPeriod("p1", 1), KeyPeriod("p2", 2)),
            rules=(rule(0, "VIDEO", ("p1",)), rule(1, "VIDEO", ("p2",))),
        )
        assert answered(request(document)).rules == document.rules
        both = replace(document, rules=(rule(0, "VIDEO", ("p1", "p2")), rule(1, "VIDEO", ("p2",))))
        assert words_of(request(both)) == "Malformed encryption contract"
