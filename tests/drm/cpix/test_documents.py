"""Documents that are written and read again, in the clear and encrypted."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from cryptography.hazmat.primitives import hashes
from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import etree

from services.drm.cpix import delivery, markup, reading, schema, writing
from services.drm.cpix.document import (
    AudioFilter,
    BitrateFilter,
    Document,
    DrmSystem,
    Key,
    KeyPeriod,
    UsageRule,
    VideoFilter,
)
from services.drm.cpix.faults import CertificateUnusable, MacInvalid, Malformed, NotForUs
from services.drm.cpix.markup import CPIX, ENC, PSKC
from tests.drm.cpix.certificates import NOW, expired, holder
from tests.drm.cpix.requests import asked, request

# What XML can hold, without white space at the ends, which nobody means.
TEXTS = st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), min_size=1, max_size=20)
IDS = st.from_regex(r"[A-Za-z_][A-Za-z0-9_.-]{0,20}", fullmatch=True)
SIXTEEN = st.binary(min_size=16, max_size=16)
NUMBERS = st.none() | st.integers(0, 10**9)
MOMENTS = st.none() | st.datetimes(datetime(1970, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001
TRUTHS = st.none() | st.booleans()


@st.composite
def documents(draw: st.DrawFn) -> Document:
    """Any document that can be written."""
    key_ids = draw(st.lists(SIXTEEN, unique=True, max_size=4))
    periods = draw(st.lists(IDS, unique=True, max_size=3))
    some = st.sampled_from(key_ids) if key_ids else st.nothing()
    rules = st.builds(
        UsageRule,
        some,
        TEXTS | st.just(""),
        st.lists(st.sampled_from(periods), max_size=2).map(tuple) if periods else st.just(()),
        st.lists(TEXTS, max_size=2).map(tuple),
        st.lists(st.builds(VideoFilter, NUMBERS, NUMBERS, TRUTHS, TRUTHS, NUMBERS, NUMBERS), max_size=2).map(tuple),
        st.lists(st.builds(AudioFilter, NUMBERS, NUMBERS), max_size=2).map(tuple),
        st.lists(st.builds(BitrateFilter, NUMBERS, NUMBERS), max_size=2).map(tuple),
    )
    values = st.none() | st.binary(max_size=40)
    playlists = st.lists(st.sampled_from(["media", "master"]), unique=True, max_size=2)
    systems = st.builds(
        DrmSystem,
        st.uuids().map(str),
        some,
        values,
        values,
        playlists.flatmap(
            lambda names: st.tuples(*(st.tuples(st.just(name), st.binary(max_size=40)) for name in names))
        ),
        st.none() | TEXTS,
    )
    unique_systems = st.lists(systems, max_size=3, unique_by=lambda system: (system.system_id, system.key_id))
    schemes = st.sampled_from(["", "cenc", "cbcs"])
    return Document(
        content_id=draw(TEXTS | st.just("")),
        version=draw(st.sampled_from(["", "2.3"])),
        name=draw(TEXTS | st.just("")),
        keys=tuple(
            Key(key_id, draw(st.none() | SIXTEEN), draw(schemes), draw(st.none() | SIXTEEN)) for key_id in key_ids
        ),
        systems=tuple(draw(unique_systems)) if key_ids else (),
        periods=tuple(KeyPeriod(period, draw(NUMBERS), draw(MOMENTS), draw(MOMENTS)) for period in periods),
        rules=tuple(draw(st.lists(rules, max_size=3))) if key_ids else (),
    )


@settings(deadline=None)
@given(documents())
def test_what_is_written_is_read_again_as_it_was(document: Document) -> None:
    assert reading.read(writing.written(document)) == document


@settings(deadline=None, max_examples=50)
@given(documents())
def test_what_is_written_is_cpix_by_the_letter(document: Document) -> None:
    if all(key.scheme for key in document.keys):
        schema.judge(writing.tree_of(document), strictly=True)


@settings(deadline=None, max_examples=20)
@given(st.lists(st.tuples(SIXTEEN, SIXTEEN), min_size=1, max_size=4, unique_by=lambda pair: pair[0]))
def test_keys_open_for_each_recipient_and_nobody_else(pairs: list[tuple[bytes, bytes]]) -> None:
    document = Document(
        recipients=(holder(1).der, holder(2).der), keys=tuple(Key(key_id, value) for key_id, value in pairs)
    )
    root = writing.tree_of(document)
    delivery.encrypt(root, NOW)
    came = markup.read(markup.written(root))
    schema.judge(came, strictly=True)
    for recipient in (holder(1), holder(2)):
        assert delivery.decrypted(came, recipient.certificate, recipient.key) == dict(pairs)
    with pytest.raises(NotForUs):
        delivery.decrypted(came, holder(3).certificate, holder(3).key)
    assert all(markup.to_base64(value).encode() not in markup.written(root) for _, value in pairs)


def encrypted() -> etree._Element:
    root = writing.tree_of(Document(recipients=(holder(1).der,), keys=(Key(bytes(15) + b"1", bytes(16)),)))
    delivery.encrypt(root, NOW)
    return root


@pytest.mark.parametrize("name", [f"{{{ENC}}}CipherValue", f"{{{PSKC}}}ValueMAC"])
def test_a_changed_key_or_mac_is_refused(name: str) -> None:
    root = encrypted()
    (content_key,) = root.iter(f"{{{CPIX}}}ContentKey")
    (element,) = content_key.iter(name)
    value = bytearray(markup.bytes_of(element))
    value[20] ^= 1
    element.text = markup.to_base64(bytes(value))
    with pytest.raises(MacInvalid, match=r"The MAC of ContentKey .* does not fit"):
        delivery.decrypted(root, holder(1).certificate, holder(1).key)


def test_a_key_without_a_mac_is_refused() -> None:
    """Otherwise whoever takes it away could change the key, bit by bit of its first block."""
    root = encrypted()
    for element in list(root.iter(f"{{{PSKC}}}ValueMAC")):
        element.getparent().remove(element)  # type: ignore[union-attr]  # it has one
    with pytest.raises(MacInvalid):
        delivery.decrypted(root, holder(1).certificate, holder(1).key)


def test_other_algorithms_than_those_of_cpix_are_not_tried() -> None:
    for name in ("DocumentKey", "MACMethod"):
        root = encrypted()
        next(root.iter(f"{{{CPIX}}}{name}")).set("Algorithm", "http://www.w3.org/2001/04/xmlenc#tripledes-cbc")
        with pytest.raises(Malformed, match="other means"):
            delivery.decrypted(root, holder(1).certificate, holder(1).key)


class TestCertificates:
    def test_good_ones_are_taken(self) -> None:
        for kind in ("rsa", "ec"):
            assert delivery.usable(holder(1, kind).der, NOW) == holder(1, kind).certificate

    @pytest.mark.parametrize(
        ("certificate", "words"),
        [
            (holder(1, "small").der, "1024 bits"),
            (holder(1, "ed25519").der, "neither RSA nor of an elliptic curve"),
            (expired().der, "not valid at this time"),
            (b"", "cannot be read"),
            (b"\x30\x82", "cannot be read"),
            (holder(1).pem, "cannot be read"),
        ],
        ids=["small", "ed25519", "expired", "empty", "cut", "PEM"],
    )
    def test_others_are_refused_with_the_reason(self, certificate: bytes, words: str) -> None:
        with pytest.raises(CertificateUnusable, match=words):
            delivery.usable(certificate, NOW)

    def test_keys_are_encrypted_to_rsa_only(self) -> None:
        root = writing.tree_of(Document(recipients=(holder(1, "ec").der,), keys=(Key(bytes(16), bytes(16)),)))
        with pytest.raises(CertificateUnusable, match="RSA certificates only"):
            delivery.encrypt(root, NOW)

    def test_weak_digests_are_named(self) -> None:
        assert hashes.SHA1 in delivery._WEAK


class TestShape:
    def test_children_may_come_in_any_order(self) -> None:
        """SPEKE's own examples do not keep the schema's."""
        root = markup.read(request(asked(["ALL"])))
        for element in root.iter():
            element[:] = reversed(element)
        assert reading.document_of(root).rules == reading.read(markup.written(root)).rules == asked(["ALL"]).rules
        with pytest.raises(Malformed, match="breaks the schema"):
            schema.judge(root, strictly=True)

    @pytest.mark.parametrize(
        ("before", "after", "words"),
        [
            (b'kid="', b'kid="x', "at ContentKey"),
            (b"<cpix:VideoFilter", b'<cpix:VideoFilter minPixels="many"', "at VideoFilter"),
            (b"<cpix:ContentKeyList>", b"<cpix:Surprise/><cpix:ContentKeyList>", "at Surprise"),
            (b"<cpix:PSSH />", b"<cpix:PSSH>no base64!</cpix:PSSH>", "cpix:PSSH is no base64"),
            (b"<cpix:PSSH />", b"<cpix:PSSH /><cpix:PSSH />", "at PSSH"),
        ],
    )
    def test_what_breaks_the_schema_is_named_and_what_it_holds_is_not(
        self, before: bytes, after: bytes, words: str
    ) -> None:
        with pytest.raises(Malformed, match=words) as refused:
            reading.read(request().replace(before, after, 1))
        assert "many" not in refused.value.words
        assert "base64!" not in refused.value.words

    def test_a_list_or_a_key_that_is_there_twice_is_refused(self) -> None:
        twice = request().replace(b"</cpix:ContentKeyList>", b"</cpix:ContentKeyList><cpix:ContentKeyList/>")
        with pytest.raises(Malformed):
            reading.read(twice)
        document = asked(["VIDEO"])
        with pytest.raises(Malformed, match="ContentKey@kid is there more than once"):
            reading.read(writing.written(Document(keys=document.keys * 2)))
