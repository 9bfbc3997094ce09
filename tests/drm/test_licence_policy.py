"""The licence policy: which keys go to whom, for how long, and how an organisation changes it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.field_mask_pb2 import FieldMask
from hypothesis import given
from hypothesis import strategies as st
from reelmesh.drm.v1 import events_pb2, licences_pb2
from reelmesh.drm.v1 import licences_service_pb2 as api

from services.drm.domain import kid_of
from services.drm.licences import messages
from services.drm.licences.policy import (
    FIRST_POLICY,
    FIRST_RULES,
    OFFLINE_RENTAL,
    DropReason,
    Hdcp,
    LicencePolicy,
    SecurityLevel,
    TrackKind,
    TrackRule,
)
from tests.drm.scene import Keys
from tests.policy.scene import refused

LABELS = ["AUDIO", "STEREO_AUDIO", "SD", "HD", "HD1", "HD2", "UHD1", "UHD2", "VR", "X1"]
NOW = datetime(2026, 11, 28, 12, tzinfo=UTC)

levels, hdcps = st.sampled_from(SecurityLevel), st.sampled_from(Hdcp)
rules = st.builds(TrackRule, levels, hdcps, st.booleans())
spans = st.none() | st.timedeltas(timedelta(minutes=1), timedelta(days=1)).map(
    lambda span: span - timedelta(microseconds=span.microseconds)
)
policies = st.builds(
    LicencePolicy,
    version=st.just(0),
    licence_duration=spans,
    rental_duration=spans,
    playback_duration=spans,
    renew_after=spans,
    offline=st.booleans(),
    device_required=st.booleans(),
    tracks=st.fixed_dictionaries(dict.fromkeys(TrackKind, rules)),
)
keys = st.lists(st.sampled_from(LABELS), min_size=1, max_size=8).map(
    lambda labels: {bytes([number] * 16): label for number, label in enumerate(labels)}
)


class TestWhichKeysGoToWhom:
    @given(policies, keys, levels, hdcps)
    def test_every_key_is_either_kept_or_dropped_for_a_reason(
        self, policy: LicencePolicy, labels: dict[bytes, str], level: SecurityLevel, hdcp: Hdcp
    ) -> None:
        found = policy.sorted_out(labels, level, hdcp)
        assert {*found.kept, *found.dropped} == set(labels)
        assert not set(found.kept) & set(found.dropped)
        for key_id in found.kept:
            rule = policy.rule(labels[key_id])
            assert (level >= rule.least_security, hdcp >= rule.hdcp) == (True, True)

    @given(policies, keys, levels, hdcps)
    def test_a_safer_player_never_gets_less(
        self, policy: LicencePolicy, labels: dict[bytes, str], level: SecurityLevel, hdcp: Hdcp
    ) -> None:
        kept = set(policy.sorted_out(labels, level, hdcp).kept)
        assert kept <= set(policy.sorted_out(labels, SecurityLevel.HARDWARE, hdcp).kept)
        assert kept <= set(policy.sorted_out(labels, level, Hdcp.V2_2).kept)
        assert len(policy.sorted_out(labels, SecurityLevel.HARDWARE, Hdcp.V2_2).kept) == len(labels)

    @given(policies, keys, levels, hdcps, st.sampled_from(TrackKind), rules)
    def test_a_stricter_rule_never_gives_more(
        self,
        policy: LicencePolicy,
        labels: dict[bytes, str],
        level: SecurityLevel,
        hdcp: Hdcp,
        kind: TrackKind,
        added: TrackRule,
    ) -> None:
        stricter = replace(policy, tracks={**policy.tracks, kind: policy.tracks[kind].with_(added)})
        assert set(stricter.sorted_out(labels, level, hdcp).kept) <= set(policy.sorted_out(labels, level, hdcp).kept)

    @given(policies, st.lists(st.sampled_from(LABELS), max_size=8))
    def test_the_strictest_of_some_rules_is_as_strict_as_each(self, policy: LicencePolicy, labels: list[str]) -> None:
        strictest = policy.strictest(labels)
        for rule in map(policy.rule, labels):
            assert strictest.with_(rule) == strictest

    def test_no_uhd_key_goes_to_decryption_in_software(self) -> None:
        labels = {label.encode().ljust(16): label for label in ("AUDIO", "SD", "HD", "UHD1", "UHD2", "VR")}
        found = FIRST_POLICY.sorted_out(labels, SecurityLevel.SOFTWARE, Hdcp.NONE)
        assert [labels[key_id] for key_id in found.kept] == ["AUDIO", "SD", "HD"]
        assert {labels[key_id] for key_id in found.dropped} == {"UHD1", "UHD2", "VR"}
        assert set(found.dropped.values()) == {DropReason.SECURITY_LEVEL_TOO_LOW}

    def test_a_player_whose_outputs_cannot_be_held_gets_no_key_that_needs_it(self) -> None:
        policy = replace(FIRST_POLICY, tracks={**FIRST_RULES, TrackKind.HD: TrackRule(hdcp=Hdcp.V1)})
        found = policy.sorted_out({b"k" * 16: "HD"}, SecurityLevel.HARDWARE, Hdcp.NONE)
        assert found.dropped == {b"k" * 16: DropReason.OUTPUT_UNPROTECTED}


class TestHowLongALicenceLasts:
    @given(policies, st.timedeltas(timedelta(0), timedelta(days=1)))
    def test_for_watching_at_once_never_beyond_its_playback(self, policy: LicencePolicy, left: timedelta) -> None:
        assert policy.expire_time(NOW, NOW + left, offline=False) <= NOW + left

    def test_offline_as_long_as_the_rental(self) -> None:
        assert FIRST_POLICY.expire_time(NOW, NOW, offline=True) == NOW + OFFLINE_RENTAL
        rented = replace(FIRST_POLICY, rental_duration=timedelta(days=2))
        assert rented.expire_time(NOW, NOW, offline=True) == NOW + timedelta(days=2)

    @given(policies)
    def test_what_is_stored_is_read_back(self, policy: LicencePolicy) -> None:
        message = messages.policy_message(policy, None)
        assert messages.changed(FIRST_POLICY, message, messages.changeable()) == policy


def span(**parts: float) -> Duration:
    made = Duration()
    made.FromTimedelta(timedelta(**parts))
    return made


async def update(keys: Keys, *paths: str, etag: str = "", **fields: object) -> licences_pb2.LicencePolicy:
    policy = licences_pb2.LicencePolicy(etag=etag, **fields)  # type: ignore[arg-type]
    request = api.UpdateLicencePolicyRequest(policy=policy, update_mask=FieldMask(paths=paths))
    return (await keys.licences.UpdateLicencePolicy(request)).policy


class TestAnOrganisationsPolicy:
    async def test_it_begins_with_one_that_nobody_made(self, keys: Keys) -> None:
        policy = (await keys.licences.GetLicencePolicy(api.GetLicencePolicyRequest())).policy
        assert (policy.version, policy.author, policy.offline, policy.etag) == (0, "", False, "0")
        assert [rule.kind for rule in policy.tracks] == [1, 2, 3, 4, 5]
        assert not policy.HasField("create_time")

    async def test_each_change_is_a_version_with_its_author(self, keys: Keys) -> None:
        first = await update(keys, "offline", offline=True)
        second = await update(keys, "renew_after", renew_after=span(minutes=5))
        assert (first.version, second.version) == (1, 2)
        assert second.offline, "what was not named stays"
        assert second.author
        again = await update(keys, "renew_after", renew_after=span(minutes=5))
        assert again.version == 2, "a change that changes nothing makes no version"
        request = api.ListLicencePolicyVersionsRequest(page_size=2)
        page = await keys.licences.ListLicencePolicyVersions(request)
        assert [policy.version for policy in page.policies] == [2, 1]
        request.page_token = page.next_page_token
        rest = await keys.licences.ListLicencePolicyVersions(request)
        assert ([policy.version for policy in rest.policies], rest.next_page_token) == ([0], "")
        event = await keys.scene.bus.hears(events_pb2.LicencePolicyUpdated, count=2)
        assert (event.organisation_id, event.policy.version) == (keys.scene.organisation_id, 2)

    async def test_only_named_kinds_of_track_change(self, keys: Keys) -> None:
        rule = licences_pb2.TrackRule(
            kind=licences_pb2.TRACK_KIND_HD, least_security=licences_pb2.SECURITY_LEVEL_HARDWARE
        )
        policy = await update(keys, "tracks", tracks=[rule])
        assert [one.least_security for one in policy.tracks] == [1, 1, 2, 2, 2]

    async def test_an_old_etag_is_refused(self, keys: Keys) -> None:
        policy = await update(keys, "offline", offline=True)
        refusal = await refused(update(keys, "offline", etag="0"))
        assert (refusal.code, refusal.reason) == (grpc.StatusCode.ABORTED, "ETAG_MISMATCH")
        assert refusal.metadata["etag"] == policy.etag

    async def test_a_renewal_after_the_end_is_refused(self, keys: Keys) -> None:
        refusal = await refused(update(keys, licence_duration=span(hours=1), renew_after=span(hours=1)))
        assert (refusal.reason, refusal.fields[0][0]) == ("LICENCE_POLICY_INVALID", "policy.renew_after")

    @pytest.mark.parametrize("path", ["version", "etag", "author", "x", "tracks.hdcp"])
    async def test_other_fields_cannot_be_named(self, keys: Keys, path: str) -> None:
        assert (await refused(update(keys, path))).reason == "REQUEST_INVALID"

    @pytest.mark.parametrize("seconds", [0, 59, 86401, -1])
    async def test_durations_have_bounds(self, keys: Keys, seconds: int) -> None:
        assert (await refused(update(keys, licence_duration=span(seconds=seconds)))).reason == "REQUEST_INVALID"

    async def test_licences_go_by_it_from_the_answer_on(self, keys: Keys) -> None:
        film = await keys.film("AUDIO", "HD")
        assert len((await keys.licence(film)).keys) == 2
        rule = licences_pb2.TrackRule(kind=licences_pb2.TRACK_KIND_HD, hdcp=licences_pb2.HDCP_V2_2)
        await update(keys, "tracks", tracks=[rule])
        licence = await keys.licence(film)
        assert [key.kid for key in licence.keys] == [kid_of(film.keys[0].key_id)]
        refusal = await refused(keys.licence(film, kid_of(film.keys[1].key_id)))
        assert (refusal.reason, refusal.metadata["labels"]) == ("OUTPUT_UNPROTECTED", "HD")
        assert refusal.metadata["hdcp"] == "V2_2"
        issued = await keys.scene.bus.hears(events_pb2.LicenceIssued, count=2)
        assert list(issued.dropped_key_ids) == [film.keys[1].key_id.hex()]
        assert issued.policy_version == 1

    async def test_a_uhd_key_is_refused_to_software(self, keys: Keys) -> None:
        film = await keys.film("UHD1")
        refusal = await refused(keys.licence(film))
        assert (refusal.code.name, refusal.reason) == ("PERMISSION_DENIED", "SECURITY_LEVEL_TOO_LOW")
        assert (refusal.metadata["labels"], refusal.metadata["least"]) == ("UHD1", "HARDWARE")
        assert (await refused(keys.hls_key(film, film.keys[0].key_id.hex()))).reason == "SECURITY_LEVEL_TOO_LOW"
        told = await keys.scene.bus.hears(events_pb2.LicenceRefused, count=2)
        assert (told.reason, told.reason_domain) == ("SECURITY_LEVEL_TOO_LOW", "drm.reelmesh")
        assert not keys.scene.bus.heard(events_pb2.LicenceIssued)
