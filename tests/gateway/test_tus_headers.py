"""Headers of tus, without any server."""

from __future__ import annotations

import contextlib
from base64 import b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st
from reelmesh.upload.v1 import upload_pb2

from gateway.tus import headers
from gateway.tus.refusals import http_status
from services.kit.errors import Refusal


def b64(text: str | bytes) -> str:
    return b64encode(text.encode() if isinstance(text, str) else text).decode()


def metadata(**pairs: str) -> dict[str, str]:
    return {"upload-metadata": ",".join(f"{key} {b64(value)}" for key, value in pairs.items())}


def status_of(call: object, *arguments: object) -> int:
    with pytest.raises(Refusal) as caught:
        call(*arguments)  # type: ignore[operator]
    return http_status(caught.value)


def test_metadata_of_uppy_and_of_tus_js_client_are_understood() -> None:
    assert headers.description(
        metadata(filename="film.mp4", filetype="video/mp4", title="Ночь")
    ) == headers.Description(filename="film.mp4", content_type="video/mp4", title="Ночь", sha256="")
    evidence = headers.description(metadata(filename="copy.mp4", purpose="evidence"))
    assert evidence.purpose == upload_pb2.UPLOAD_PURPOSE_EVIDENCE
    assert status_of(headers.description, metadata(filename="copy.mp4", purpose="evidance")) == 400
    uppy = metadata(relativePath="null", name="film.mp4", type="video/mp4")
    assert headers.description(uppy) == headers.Description("film.mp4", "video/mp4", "", "")


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ("C:\\fakepath\\film.mp4", "film.mp4"),
        ("../../etc/passwd", "passwd"),
        ("folder/", "folder"),
        ("..", "untitled"),
        ("", "untitled"),
        ("a\x00b\n.mp4", "ab.mp4"),
        ("x" * 300 + ".mp4", "x" * 251 + ".mp4"),
        ("." + "x" * 300, "." + "x" * 254),
        ("фильм.mp4", "фильм.mp4"),
    ],
)
def test_a_file_name_is_reduced_to_what_the_contract_takes(sent: str, kept: str) -> None:
    assert headers.description(metadata(filename=sent)).filename == kept


@pytest.mark.parametrize(
    "value",
    [
        "filename not-base64!",
        "filename Zm9vYg",
        "filename",
        " ",
        "filename Zg==,filename Zg==",
        "file name Zg==",
        ",",
        "filename /w==",
        ",".join(f"k{number} Zg==" for number in range(65)),
    ],
)
def test_malformed_metadata_are_refused_or_mean_nothing(value: str) -> None:
    if value == "filename":  # a key without a value is allowed
        assert headers.description({"upload-metadata": value}).filename == "untitled"
    else:
        assert status_of(headers.description, {"upload-metadata": value}) == 400


@pytest.mark.parametrize("value", ["", "-1", "+1", "1.0", "0x10", "1e3", " 1 2", "٣", "1" * 41, "nan"])
def test_a_length_or_offset_that_is_no_number_is_refused(value: str) -> None:
    assert status_of(headers.upload_length, {"upload-length": value}, 10) == 400
    assert status_of(headers.upload_offset, {"upload-offset": value}) == 400


def test_a_length_beyond_any_file_is_too_large_and_such_an_offset_is_wrong() -> None:
    assert status_of(headers.upload_length, {"upload-length": str(2**63)}, 10) == 413
    assert status_of(headers.upload_offset, {"upload-offset": str(2**63)}) == 400
    assert headers.upload_length({"upload-length": str(2**63 - 1)}, 10) == 2**63 - 1


def test_extensions_that_are_not_offered_are_refused() -> None:
    assert status_of(headers.upload_length, {"upload-defer-length": "1"}, 10) == 400
    assert status_of(headers.upload_length, {"upload-length": "1", "upload-concat": "partial"}, 10) == 400


@pytest.mark.parametrize(
    "value", ["sha1", "sha1 ", "sha1 ?", "md5 " + b64(bytes(16)), "sha1 " + b64(bytes(32)), b64(bytes(20))]
)
def test_a_malformed_checksum_is_refused(value: str) -> None:
    assert status_of(headers.checksum, {"upload-checksum": value}) == 400


def test_checksums_of_the_specification_are_computed_right() -> None:
    """The example of tus 1.0, section "Checksum", and the check value of CRC-32C (RFC 3720)."""
    checksum = headers.checksum({"upload-checksum": "sha1 Kq5sNclPz7QV2+lfQIuc6R7oRu0="})
    assert checksum is not None
    digest = checksum.begun()
    digest.update(b"hello world")
    assert digest.digest() == checksum.expected
    castagnoli = headers.checksum({"upload-checksum": "crc32c " + b64(bytes.fromhex("e3069283"))})
    assert castagnoli is not None
    digest = castagnoli.begun()
    digest.update(b"123456789")
    assert digest.digest() == castagnoli.expected


def test_a_header_that_stands_there_twice_is_refused() -> None:
    """Whoever stands in front of us might have read the other one."""
    assert status_of(headers.fields_of, [(b"Upload-Offset", b"0"), (b"upload-offset", b"1")]) == 400
    assert status_of(headers.fields_of, [(b"authorization", "Bearer \u00e9".encode("latin-1"))]) == 400
    assert headers.fields_of([(b"Accept", b"a"), (b"accept", b"b")]) == {"accept": "b"}


@given(st.dictionaries(st.sampled_from(["filename", "filetype", "title"]), st.text(min_size=1), max_size=3))
def test_metadata_come_back_as_they_were_given(known: dict[str, str]) -> None:
    value = headers.metadata_value(known)
    about = headers.description({"upload-metadata": value})
    assert about.title == known.get("title", "")
    assert about.content_type == known.get("filetype", "")


@given(st.text(alphabet=st.characters(max_codepoint=255)))
def test_no_metadata_header_breaks_the_reader(value: str) -> None:
    with contextlib.suppress(Refusal):
        about = headers.description({"upload-metadata": value})
        assert 1 <= len(about.filename) <= 255
        assert "/" not in about.filename
