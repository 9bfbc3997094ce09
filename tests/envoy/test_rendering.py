"""How the configuration is put together. That it works is for the other tests of this folder."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from services.limits.rules import Quota
from tests.envoy.edge import settings_in
from tests.support import certificates
from tools.envoy_config import command, render, write_certificate_sources
from tools.envoy_config.limits import Net
from tools.envoy_config.replies import REPLIES
from tools.envoy_config.templates import Block, filled, joined


def parsed(text: str) -> Any:
    """The parser in C: this is much text."""
    return yaml.load(str(text), yaml.CSafeLoader)


def test_it_is_yaml_that_envoy_accepts(tmp_path: Path) -> None:
    settings = settings_in(tmp_path, 8080)
    certificates.made_in(tmp_path)
    write_certificate_sources(settings)
    config = tmp_path / "envoy.yaml"
    config.write_text(render(settings))
    checked = subprocess.run(
        [*command(config, settings), "--mode", "validate"], capture_output=True, text=True, check=False
    )
    assert checked.returncode == 0, checked.stderr


def test_services_may_listen_on_ports_instead_of_sockets(tmp_path: Path) -> None:
    settings = replace(settings_in(tmp_path, 8080), upload="10.0.0.5:9001", listen="[::1]:8443")
    rendered = parsed(render(settings))
    (listener,) = rendered["static_resources"]["listeners"]
    assert listener["address"] == {"socket_address": {"address": "::1", "port_value": 8443}}
    upload = next(cluster for cluster in rendered["static_resources"]["clusters"] if cluster["name"] == "upload")
    assert upload["type"] == "STRICT_DNS"
    endpoint = upload["load_assignment"]["endpoints"][0]["lb_endpoints"][0]["endpoint"]
    assert endpoint == {"address": {"socket_address": {"address": "10.0.0.5", "port_value": 9001}}}


def test_every_cluster_that_a_route_names_exists(tmp_path: Path) -> None:
    """All but `nowhere`, which is meant not to; Envoy itself is told not to check."""
    rendered = parsed(render(settings_in(tmp_path, 8080)))
    manager = rendered["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"]
    named = {
        route["route"]["cluster"] for route in manager["route_config"]["virtual_hosts"][0]["routes"] if "route" in route
    }
    assert named - {"nowhere"} <= {cluster["name"] for cluster in rendered["static_resources"]["clusters"]}


def test_routes_to_playback_and_previews_ask_policy_and_no_others(tmp_path: Path) -> None:
    """What is not turned off is on, so a new route is shut until someone opens it."""
    rendered = parsed(render(settings_in(tmp_path, 8080)))
    manager = rendered["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"]
    routes = manager["route_config"]["virtual_hosts"][0]["routes"]
    filters = {one["name"]: one for one in manager["http_filters"]}
    assert "disabled" not in filters["envoy.filters.http.ext_authz"]
    ask = filters["reelmesh.authorizer"]["typed_config"]["xds_matcher"]["on_no_match"]["action"]["typed_config"]
    assert ask["typed_config"]["typed_config"] == filters["envoy.filters.http.ext_authz"]["typed_config"]
    own = {
        route["name"]: route["typed_per_filter_config"].get("envoy.filters.http.ext_authz")
        if "reelmesh.authorizer" not in route["typed_per_filter_config"]
        else None
        for route in routes
    }
    asking = [name for name, unasked in own.items() if unasked is None]
    assert asking == ["playback-segment", "playback-session", "playback", "preview"]
    serving = [
        route["name"]
        for route in routes
        if "published" in str(route["typed_per_filter_config"].get("envoy.filters.http.file_server", ""))
    ]
    assert serving == asking


def test_every_call_is_limited_and_no_segment(tmp_path: Path) -> None:
    """What a route does not switch on costs it nothing."""
    rendered = parsed(render(settings_in(tmp_path, 8080)))
    manager = rendered["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"]
    routes = manager["route_config"]["virtual_hosts"][0]["routes"]
    limits = {"reelmesh.flood", "reelmesh.guesses", "envoy.filters.http.ratelimit"}
    switched = {route["name"]: limits & set(route["typed_per_filter_config"]) for route in routes}
    rpc = {name for name in switched if "/" in name}
    limited = rpc | {"rest", "rest-streamed", "speke", "tus"}
    assert {name for name, on in switched.items() if on == limits} == limited
    assert not any(switched[name] for name in switched.keys() - limited)
    for route in routes:
        if route["name"] in rpc:
            (said,) = route["route"]["rate_limits"]
            assert said["actions"][0]["generic_key"]["descriptor_value"] == route["name"]
    filters = {one["name"]: one for one in manager["http_filters"]}
    assert all(filters[name]["disabled"] for name in limits)


def test_guessing_is_limited_where_the_limits_say(tmp_path: Path) -> None:
    file = tmp_path / "limits.yaml"
    file.write_text("methods: {guessing: ['reelmesh.policy.v1.PolicyService/Redeem*']}")
    rendered = parsed(render(replace(settings_in(tmp_path, 8080), limits_file=file)))
    manager = rendered["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"]
    guessing = [
        route["name"]
        for route in manager["route_config"]["virtual_hosts"][0]["routes"]
        if "token_bucket" in route["typed_per_filter_config"].get("reelmesh.guesses", {})
    ]
    assert guessing == ["reelmesh.policy.v1.PolicyService/RedeemPlaybackCode"]


@pytest.mark.parametrize("rate", ["200 per second", "33 per second", "7 per minute", "1 per hour", "unlimited"])
def test_a_net_fills_at_its_rate(rate: str) -> None:
    net = Net("flood", 428, Quota.model_validate({"rate": rate, "burst": 5}))
    (bucket,) = [one["token_bucket"] for one in yaml.safe_load(net.filter())["descriptors"]]
    per_second = bucket["tokens_per_fill"] / float(bucket["fill_interval"].removesuffix("s"))
    assert per_second == pytest.approx(1e6 / net.limit.interval)
    assert float(bucket["fill_interval"].removesuffix("s")) >= 0.05


def test_a_wrong_file_of_limits_does_not_keep_an_edge_from_starting(tmp_path: Path) -> None:
    file = tmp_path / "limits.yaml"
    file.write_text("edge: {guessing: {rate: never}}")
    assert render(replace(settings_in(tmp_path, 8080), limits_file=file)) == render(settings_in(tmp_path, 8080))


def test_strange_paths_are_quoted(tmp_path: Path) -> None:
    folder = tmp_path / "a: ${b} 'c' \"d\" #e"
    folder.mkdir()
    rendered = parsed(render(settings_in(folder, 8080)))
    assert rendered["admin"]["address"] == {"pipe": {"path": f"{folder}/admin.sock"}}


def test_a_missing_descriptor_set_is_told_by_name(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"none\.binpb"):
        render(replace(settings_in(tmp_path, 8080), descriptors=tmp_path / "none.binpb"))


def test_a_place_that_nobody_fills_is_an_error() -> None:
    with pytest.raises(KeyError, match="methods"):
        filled("cors", origins=[], headers="", exposed="")


def test_a_block_does_not_go_into_a_line_nor_a_value_on_one_of_its_own() -> None:
    with pytest.raises(TypeError, match="origins must be given as a value"):
        filled("cors", origins=Block("a: b"), methods="", headers="", exposed="")
    with pytest.raises(TypeError, match="mappers must be given as a block"):
        filled("local_replies", mappers="x")


def test_blocks_take_the_indentation_of_their_place() -> None:
    assert yaml.safe_load(filled("local_replies", mappers=joined([Block("- a: 1\n  b: 2"), Block("- c: 3")])))[
        "mappers"
    ][4:] == [
        {"a": 1, "b": 2},
        {"c": 3},
    ]


def test_every_reason_of_the_edge_is_in_the_contract() -> None:
    from reelmesh.rpc.v1.errors_pb2 import ErrorReason

    assert {f"ERROR_REASON_{reply.reason}" for reply in REPLIES} <= set(ErrorReason.keys())
