"""Times and spans that are none are refused in every request, whatever its contract says of the field."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import grpc
import pytest
from google.protobuf import message_factory
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given
from hypothesis import strategies as st
from reelmesh.compliance.v1 import jurisdictions_service_pb2 as jurisdictions
from reelmesh.policy.v1 import decisions_service_pb2 as decisions

from services.kit.errors import Refusal
from services.kit.ids import new_id
from services.kit.validation import check, no_times
from tests.support.examples import fuzzed
from tests.support.whole import every_method, path_of

Way = tuple[FieldDescriptor, ...]

TIMES: Final = {Timestamp.DESCRIPTOR.full_name, Duration.DESCRIPTOR.full_name}


def ways_to_times(message: Descriptor, before: Way = ()) -> Iterator[Way]:
    """The way to each time and span that can stand in a message, no type twice on one way."""
    for field in message.fields:
        kind = field.message_type
        if kind is None:
            continue
        if kind.full_name in TIMES:
            yield (*before, field)
        elif kind not in {message, *(step.containing_type for step in before)}:
            yield from ways_to_times(kind, (*before, field))


JUST: Final = (
    (0, -1),
    (0, 999_999_999),
    (0, 10**9),
    (1, -1),
    (-1, 1),
    (-62_135_596_800, 0),
    (-62_135_596_801, 999_999_999),
    (253_402_300_799, 999_999_999),
    (253_402_300_800, 0),
    (-315_576_000_000, -999_999_999),
    (-315_576_000_001, 0),
    (315_576_000_000, 999_999_999),
    (315_576_000_001, 0),
)
"""Seconds and nanoseconds at the borders of what either may be."""
EVERY: Final = {
    f"{path_of(method)} {'.'.join(field.name for field in way)}": (method.input_type, way)
    for method in every_method()
    for way in ways_to_times(method.input_type)
}


def holding(kind: Descriptor, way: Way, seconds: int, nanos: int) -> tuple[Message, Any, str]:
    """A request that holds one time or span; what it holds, and its path."""
    request = message_factory.GetMessageClass(kind)()
    at: Any = request
    path = []
    for field in way:
        held = getattr(at, field.name)
        kind_of_field = field.message_type
        assert kind_of_field is not None
        if kind_of_field.GetOptions().map_entry:
            at = held["a key"]
            path.append(f"{field.name}['a key']")
        elif field.is_repeated:
            held.add()
            at = held.add()
            path.append(f"{field.name}[1]")
        else:
            at = held
            path.append(field.name)
    at.seconds, at.nanos = seconds, nanos
    at.SetInParent()
    return request, at, ".".join(path)


def test_there_are_times_in_requests() -> None:
    assert len(EVERY) > 60
    assert "/reelmesh.policy.v1.DecisionsService/SetAssetTerms terms.start_time" in EVERY


def judged(name: str, seconds: int, nanos: int) -> None:
    """Whether a request with that time or span is let through, or refused by the field's name, as the definition of its type says."""
    kind, way = EVERY[name]
    request, held, path = holding(kind, way, seconds, nanos)
    try:
        held.ToJsonString()  # which raises for what is none
    except ValueError:
        with pytest.raises(Refusal) as refused:
            check(request)
        assert refused.value.code is grpc.StatusCode.INVALID_ARGUMENT
        assert (refused.value.reason, refused.value.domain) == ("REQUEST_INVALID", "rpc.reelmesh")
        assert [field for field, _ in refused.value.fields] == [path]
        assert path in refused.value.message
    else:
        assert list(no_times(request)) == []


@pytest.mark.parametrize("name", EVERY)
def test_what_is_just_one_is_let_through_and_what_is_just_none_is_refused(name: str) -> None:
    for seconds, nanos in JUST:
        judged(name, seconds, nanos)


@pytest.mark.parametrize("name", EVERY)
@fuzzed(10)
@given(
    seconds=st.integers(-(2**63), 2**63 - 1) | st.integers(-10, 10),
    nanos=st.integers(-(2**31), 2**31 - 1) | st.integers(-10, 10),
)
def test_what_is_none_is_refused_by_name_and_nothing_else_is(name: str, seconds: int, nanos: int) -> None:
    judged(name, seconds, nanos)


def test_each_one_of_a_request_is_named() -> None:
    request = decisions.SetAssetTermsRequest()
    request.terms.start_time.nanos = -1
    request.terms.end_time.seconds = 2**62
    with pytest.raises(Refusal) as refused:
        check(request)
    assert {field for field, _ in refused.value.fields} == {"terms.start_time", "terms.end_time"}


def test_a_span_is_no_time() -> None:
    """What is written of the one is not held against the other: half a second before nothing is a span, and no time."""
    request = jurisdictions.PutJurisdictionTableRequest(request_id=new_id("req"))
    request.rules.add().age.methods.add().good_for.nanos = -500_000_000
    assert list(no_times(request)) == []
    request.rules[0].start_time.nanos = -500_000_000
    assert [path for path, _ in no_times(request)] == ["rules[0].start_time"]
