"""What the gateway writes by hand is what protobuf would have written."""

from __future__ import annotations

import google_crc32c
from hypothesis import given
from hypothesis import strategies as st
from reelmesh.upload.v1 import upload_service_pb2

from gateway.tus.uploads import encoded


@given(st.lists(st.binary(min_size=1), min_size=1))
def test_a_block_is_encoded_as_the_contract_says(block: list[bytes]) -> None:
    request = upload_service_pb2.WriteUploadRequest.FromString(encoded(block))
    assert request.chunk.data == b"".join(block)
    assert request.crc32c == google_crc32c.value(b"".join(block))
    assert request.SerializeToString() == encoded(block)


def test_large_blocks_are_encoded_as_the_contract_says() -> None:
    for size in (127, 128, 16383, 16384, 2**20, 2**21 - 1, 2**21, 4 * 2**20):
        request = upload_service_pb2.WriteUploadRequest.FromString(encoded([bytes(size)]))
        assert (len(request.chunk.data), request.SerializeToString()) == (size, encoded([bytes(size)]))
