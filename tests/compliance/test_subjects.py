"""Whom events are about."""

from __future__ import annotations

import re

import pytest
from reelmesh.identity.v1 import events_pb2 as identity
from reelmesh.policy.v1 import events_pb2 as policy

from services.compliance.log.subjects import ACTORS, PERSONS, Subject, known_kinds, read
from services.kit.ids import new_id

LOOKS_LIKE_A_PERSON = re.compile(
    r"(account|viewer|user|creator|performer|person|recipient|payee|member|customer|buyer|owner|actor|author|reviewer|approver|subject|email|phone|name)"
)
NO_PERSONS = {
    "filename",  # of a file
    "list_name",  # of hashes
    "recipient_sha256s",  # of certificates
}
"""Fields of events that look like a person's, and are not. What personal data a field holds besides (such as a network) is sealed with the event."""


def test_every_field_that_looks_like_a_persons_is_one_or_is_known_not_to_be() -> None:
    """A new event whose field names a person belongs into `PERSONS` or `ACTORS`: or else erasure would pass it by."""
    for name, kind in known_kinds().items():
        for field in kind.DESCRIPTOR.fields:
            if LOOKS_LIKE_A_PERSON.search(field.name):
                assert field.name in PERSONS | ACTORS | NO_PERSONS, f"{name}.{field.name}"


def test_accounts_are_the_same_persons_everywhere_and_others_names_are_their_own() -> None:
    organisation_id, account_id = new_id("org"), new_id("usr")
    played = policy.PlaybackCreated(organisation_id=organisation_id, viewer_id=account_id)
    found = read("reelmesh.policy.v1.PlaybackCreated", played.SerializeToString())
    assert found is not None
    assert found.organisation_id == organisation_id
    assert found.subjects == (Subject("", account_id),)
    played.viewer_id = "pupil-7"
    found = read("reelmesh.policy.v1.PlaybackCreated", played.SerializeToString())
    assert found is not None
    assert found.subjects == (Subject(organisation_id, "pupil-7"),)


def test_actors_are_persons_when_they_are_users() -> None:
    account_id, other = new_id("usr"), new_id("usr")
    changed = identity.AccountChanged(account_id=account_id, actor=f"user/{other}")
    found = read("reelmesh.identity.v1.AccountChanged", changed.SerializeToString())
    assert found is not None
    assert set(found.subjects) == {Subject("", account_id), Subject("", other)}
    changed.actor = "api_key/key_1"
    found = read("reelmesh.identity.v1.AccountChanged", changed.SerializeToString())
    assert found is not None
    assert found.subjects == (Subject("", account_id),)


@pytest.mark.parametrize("event_type", ["reelmesh.future.v1.Happened", "reelmesh.policy.v1.PlaybackCreated", ""])
def test_what_cannot_be_read_says_nothing(event_type: str) -> None:
    assert read(event_type, b"\xff\xff") is None
