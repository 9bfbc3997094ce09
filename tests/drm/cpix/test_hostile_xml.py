"""Documents from people who mean harm."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.drm.cpix import answering, markup, reading
from services.drm.cpix.faults import Fault, Malformed
from tests.drm.cpix.requests import request

LAUGHS = "".join(f'<!ENTITY l{n} "{"".join(f"&l{n - 1};" for _ in range(10))}">' for n in range(1, 12))
BILLION_LAUGHS = f'<!DOCTYPE CPIX [<!ENTITY l0 "lol">{LAUGHS}]><CPIX xmlns="urn:dashif:org:cpix" contentId="&l11;"/>'


@pytest.mark.parametrize(
    "document",
    [
        BILLION_LAUGHS,
        '<!DOCTYPE CPIX [<!ENTITY x SYSTEM "file:///etc/passwd">]><CPIX xmlns="urn:dashif:org:cpix">&x;</CPIX>',
        '<!DOCTYPE CPIX SYSTEM "http://169.254.169.254/latest/meta-data/"><CPIX xmlns="urn:dashif:org:cpix"/>',
        '<!DOCTYPE CPIX [<!ENTITY % p SYSTEM "http://127.0.0.1:9/x.dtd"> %p;]><CPIX xmlns="urn:dashif:org:cpix"/>',
        '<!DOCTYPE CPIX><CPIX xmlns="urn:dashif:org:cpix"/>',
    ],
    ids=["billion laughs", "file", "outer subset", "parameter entity", "empty"],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_a_dtd_is_refused_whatever_is_in_it(document: str, encoding: str) -> None:
    with pytest.raises(Malformed, match="The document has a DTD"):
        markup.read(document.encode(encoding))
    declared = f'<?xml version="1.0" encoding="{encoding.removesuffix("-sig")}"?>\n{document}'
    with pytest.raises(Malformed, match="The document has a DTD"):
        markup.read(declared.encode(encoding))


@pytest.mark.parametrize("encoding", ["utf-7", "utf-32", "iso-8859-1", "cp037", "ucs-4", "utf-16"])
def test_a_document_cannot_say_that_it_is_in_another_encoding(encoding: str) -> None:
    """Or a DTD could be hidden from whoever looks for it, and not from the parser."""
    with pytest.raises(Malformed, match="another encoding"):
        markup.read(f'<?xml version="1.0" encoding="{encoding}"?><CPIX xmlns="urn:dashif:org:cpix"/>'.encode())


@pytest.mark.parametrize("encoding", ["utf-7", "utf-16-le", "utf-16-be", "utf-32", "cp037"])
def test_a_dtd_in_a_strange_encoding_never_comes_to_be_parsed(encoding: str) -> None:
    with pytest.raises(Malformed):
        markup.read(BILLION_LAUGHS.encode(encoding))


def test_a_second_declaration_is_refused() -> None:
    with pytest.raises(Malformed, match="declared twice"):
        markup.read(b'<?xml version="1.0"?><?xml version="1.0" encoding="utf-7"?><CPIX xmlns="urn:dashif:org:cpix"/>')


def test_undeclared_entities_processing_instructions_and_includes_do_nothing(tmp_path: Path) -> None:
    for text in ("<a>&x;</a>", "<a><?php phpinfo() ?></a>", '<?xml-stylesheet href="http://127.0.0.1:9/"?><a/>'):
        with pytest.raises(Malformed):
            markup.read(text.encode())
    (tmp_path / "secret").write_text("secret")
    include = f'<a xmlns:xi="http://www.w3.org/2001/XInclude"><xi:include href="{tmp_path}/secret" parse="text"/></a>'
    assert "secret" not in "".join(map(str, markup.read(include.encode()).itertext()))


def test_a_document_that_is_deep_or_long_is_refused_at_once() -> None:
    begun = time.process_time()
    for data in (b"<a>" * 100_000, b"<a>" * 300 + b"</a>" * 300, b"<a>" + b"x" * markup.MOST_BYTES + b"</a>"):
        with pytest.raises(Malformed):
            markup.read(data)
    assert time.process_time() - begun < 5, "not a measurement: exponential work would never end"


def test_a_comment_within_a_value_does_not_cut_it_short() -> None:
    """What is signed without comments would otherwise be read as something else than was signed."""
    cut = request().replace(b"<cpix:PSSH />", b"<cpix:PSSH>AA<!-- -->AA</cpix:PSSH>")
    with pytest.raises(Malformed, match="cpix:PSSH holds more than text"):
        reading.read(cut)


def test_the_schemas_named_in_a_document_are_not_fetched() -> None:
    located = request().replace(
        b"<cpix:CPIX ",
        b'<cpix:CPIX xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:schemaLocation="urn:x http://127.0.0.1:9/x" ',
        1,
    )
    assert reading.read(located).content_id == "film-1"


@given(st.binary(max_size=200) | st.text(max_size=200).map(lambda text: text.encode(errors="surrogatepass")))
def test_bytes_that_are_no_document_are_refused_and_nothing_else_happens(data: bytes) -> None:
    with pytest.raises(Fault):
        answering.read(data, "2.0")


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_a_damaged_request_is_read_or_refused_and_nothing_else_happens(data: st.DataObject) -> None:
    whole = request()
    begin = data.draw(st.integers(0, len(whole) - 1))
    end = data.draw(st.integers(begin, min(len(whole), begin + 40)))
    damaged = whole[:begin] + data.draw(st.binary(max_size=20)) + whole[end:]
    with contextlib.suppress(Fault):
        assert answering.read(damaged, "2.0").document.keys
