"""The service as Envoy asks it, on the real stores."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import grpc
import pytest
from prometheus_client import REGISTRY

from services.kit.ids import new_id
from services.kit.settings import ProcessSettings
from services.limits.__main__ import LimitsSettings, wire
from tests.identity.scene import a_scene as identity_scene
from tests.limits.scene import (
    ADDRESS,
    GUESS,
    METHOD,
    PATIENCE,
    Edge,
    a_scene,
    an_edge,
    of_address,
    request,
)
from tests.support.keys import with_api_key
from tests.support.running import running
from tests.support.stores import operator_key


def counter(limit: str, outcome: str) -> float:
    return REGISTRY.get_sample_value("reelmesh_limits_checks_total", {"limit": limit, "outcome": outcome}) or 0.0


class TestWhatIsCounted:
    async def test_an_address_by_itself(self, mesh: ProcessSettings) -> None:
        async with a_scene(mesh, of_address("1 per minute", 3)) as scene:
            assert await scene.edge.passed(5) == 3
            assert await scene.edge.passed(5, address="203.0.113.8/32") == 3

    async def test_an_ipv6_household_as_one_address(self, mesh: ProcessSettings) -> None:
        async with a_scene(mesh, of_address("1 per minute", 3)) as scene:
            seen = [
                await scene.edge.ask(address=address)
                for address in (
                    "2001:db8:1:2::/64",
                    "2001:db8:1:2::7",
                    "2001:db8:1:2:ffff::9/128",
                    "2001:db8:1:2::8/128",
                )
            ]
            assert [one.allowed for one in seen] == [True, True, True, False]
            assert (await scene.edge.ask(address="2001:db8:1:3::/64")).allowed

    async def test_a_caller_wherever_it_calls_from_by_its_tier(self, mesh: ProcessSettings) -> None:
        changes = {
            "limits": {
                "per-caller": {
                    "rate": "1 per minute",
                    "burst": 2,
                    "tiers": {
                        "staff": {"rate": "1 per minute", "burst": 4},
                        "unknown": {"rate": "1 per minute", "burst": 1},
                    },
                }
            }
        }
        staff = f"Bearer {operator_key(mesh)}"
        with with_api_key(mesh, organisation_id=new_id("org"), permissions=["assets.read"]) as key:
            async with a_scene(mesh, changes) as scene:
                for authorization, may in (
                    (staff, 4),
                    (f"bearer {key}", 2),
                    ("Bearer rmk_made_up", 1),
                    ("Basic abc", 1),
                ):
                    seen = [
                        (await scene.edge.ask(address=f"198.51.100.{number}/32", authorization=authorization)).allowed
                        for number in range(6)
                    ]
                    assert sum(seen) == may, authorization
                assert await scene.edge.passed(20) == 20

    async def test_an_organisation_with_all_its_keys(self, mesh: ProcessSettings) -> None:
        changes = {"limits": {"per-organisation": {"per": ["organisation"], "rate": "1 per minute", "burst": 3}}}
        organisation = new_id("org")
        with (
            with_api_key(mesh, organisation_id=organisation, permissions=["a.b"]) as one,
            with_api_key(mesh, organisation_id=organisation, permissions=["a.b"]) as other,
        ):
            async with a_scene(mesh, changes) as scene:
                seen = [await scene.edge.ask(authorization=f"Bearer {key}") for key in (one, other, one, other)]
        assert [said.allowed for said in seen] == [True, True, True, False]
        assert seen[-1].refusal.metadata["limit"] == "per-organisation"

    async def test_a_person_with_all_their_tokens_by_their_tier(self, mesh: ProcessSettings, tmp_path: Path) -> None:
        """From the real identity service: two log-ins of one person, and another person. What is only claimed counts for nothing."""
        few = {"rate": "1 per hour", "burst": 1}
        tiers = {"free": {"rate": "1 per hour", "burst": 3}, "unknown": few}
        changes = {"limits": {"per-caller": few | {"tiers": tiers}}}
        # An address that nobody has called in vain yet: gRPC would not try it again at once.
        address = f"unix:{tmp_path}/identity.sock"
        at = {"identity": address}
        async with (
            identity_scene(mesh, listen=address, peers=at) as identity,
            a_scene(mesh, changes, clock=identity.clock, peers=at) as scene,
        ):
            one, other = await identity.register(), await identity.register()
            again = await identity.log_in(one.email)
            tokens = [one.tokens.access_token, again.access_token] * 3
            await scene.until_known((await identity.register()).tokens.access_token)
            seen = [await scene.edge.ask(authorization=f"Bearer {token}") for token in tokens]
            assert [said.allowed for said in seen] == [True] * 3 + [False] * 3
            assert await scene.edge.passed(5, authorization=f"Bearer {other.tokens.access_token}") == 3
            forged = other.tokens.access_token[:-6] + "AAAAAA"
            assert await scene.edge.passed(5, authorization=f"Bearer {forged}") == 1

    async def test_guesses_by_address(self, mesh: ProcessSettings) -> None:
        """As shipped: 40 at once from one address. Other methods are not touched."""
        async with a_scene(mesh) as scene:
            assert await scene.edge.passed(50, method=GUESS) == 40
            assert await scene.edge.passed(30) == 30

    async def test_uploads_by_streams(self, mesh: ProcessSettings) -> None:
        changes = {"limits": {"uploads-per-caller": {"tiers": {"staff": {"rate": "1 per minute", "burst": 2}}}}}
        authorization = f"Bearer {operator_key(mesh)}"
        async with a_scene(mesh, changes) as scene:
            method = "reelmesh.upload.v1.UploadService/WriteUpload"
            assert await scene.edge.passed(4, method=method, authorization=authorization) == 2

    async def test_nothing_for_an_address_that_is_not_limited(self, mesh: ProcessSettings) -> None:
        changes = of_address("1 per minute", 1) | {"unlimited_addresses": ["203.0.113.0/28", "2001:db8::/32"]}
        async with a_scene(mesh, changes) as scene:
            assert await scene.edge.passed(5) == 5
            assert await scene.edge.passed(5, address="2001:db8:5:6::/64") == 5
            assert await scene.edge.passed(5, address="203.0.113.200/32") == 1


class TestWhatIsSaid:
    async def test_all_limits_that_apply_and_what_is_left_of_them(self, mesh: ProcessSettings) -> None:
        async with a_scene(mesh) as scene:
            said = await scene.edge.ask(authorization=f"Bearer {operator_key(mesh)}")
        assert said.headers == {
            "ratelimit-policy": '"per-address";q=200;w=4, "per-caller";q=1000;w=2',
            "ratelimit": '"per-address";r=199;t=1, "per-caller";r=999;t=1',
        }

    async def test_the_limit_that_refuses_for_longest(self, mesh: ProcessSettings) -> None:
        changes = of_address("1 per minute", 1)
        changes["limits"] = {**changes["limits"], "narrow": {"per": ["address"], "rate": "1 per hour", "burst": 1}}  # type: ignore[dict-item]
        async with a_scene(mesh, changes) as scene:
            await scene.edge.ask()
            said = await scene.edge.ask()
            assert said.refusal.metadata["limit"] == "narrow"
            assert said.refusal.retry_after == timedelta(hours=1)
            assert said.headers["retry-after"] == "3600"

    async def test_refusals_are_counted_by_limit(self, mesh: ProcessSettings) -> None:
        async with a_scene(mesh, of_address("1 per minute", 3)) as scene:
            allowed, refused = counter("per-address", "allowed"), counter("per-address", "refused")
            await scene.edge.passed(5)
            assert counter("per-address", "allowed") - allowed == 3
            assert counter("per-address", "refused") - refused == 2

    async def test_the_log_tells_the_first_refusal_of_a_minute_and_nobodys_address_or_credential(
        self, mesh: ProcessSettings, capsys: pytest.CaptureFixture[str]
    ) -> None:
        secret = "rmk_" + "s" * 43
        async with a_scene(mesh, of_address("1 per hour", 1)) as scene:
            for _ in range(4):
                await scene.edge.ask(authorization=f"Bearer {secret}")
            first = capsys.readouterr().out
            scene.pass_time(61)
            await scene.edge.ask()
        logged = first + capsys.readouterr().out
        assert first.count("limit reached") == 1
        assert logged.count("limit reached") == 2
        assert "203.0.113.0/24" in logged
        for hidden in (secret, ADDRESS.removesuffix("/32")):
            assert hidden not in logged


class TestWhoMayAsk:
    @pytest.mark.parametrize("service", ["assets", "drm"])
    async def test_no_other_service(self, mesh: ProcessSettings, service: str) -> None:
        async with a_scene(mesh) as scene, an_edge(scene.settings, service) as other:
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await other.ask()
        assert caught.value.code() == grpc.StatusCode.PERMISSION_DENIED


class TestWhatIsStrange:
    @pytest.mark.parametrize(
        "entries",
        [
            {},
            {"": ""},
            {"method": "x" * 1_000_000, "masked_remote_address": ADDRESS},
            {"method": METHOD, "masked_remote_address": "\x00\U0010ffff'; DROP TABLE buckets; --"},
            {"method": METHOD, "masked_remote_address": "999.1.1.1/99"},
            {"method": METHOD, "authorization": "Bearer " + "\x01\x7fé" * 100_000},
            {"method": METHOD, "authorization": "Bearer rmk_\x00"},
            {"method": METHOD, "correlation_id": "a\r\nset-cookie: x", "masked_remote_address": ADDRESS},
            {"method": METHOD, "form": "\x00", "\u2028" * 10_000: "x"},
        ],
    )
    async def test_is_counted_or_let_through_but_does_no_harm(
        self, mesh: ProcessSettings, entries: dict[str, str]
    ) -> None:
        async with a_scene(mesh, of_address("1 per minute", 1)) as scene:
            for _ in range(2):
                answer = await scene.edge.stub.ShouldRateLimit(request(entries))
                for header in answer.response_headers_to_add:
                    assert header.value.isprintable()
            assert (await scene.edge.ask(address="192.0.2.1/32")).allowed

    async def test_a_thousand_descriptors_cost_no_more_than_a_few(self, mesh: ProcessSettings) -> None:
        async with a_scene(mesh, of_address("1 per minute", 1)) as scene:
            many = request(
                *(
                    {"method": METHOD, "masked_remote_address": f"10.0.{number >> 8}.{number & 255}"}
                    for number in range(1000)
                )
            )
            answer = await scene.edge.stub.ShouldRateLimit(many)
            assert len(answer.statuses) == 1000
            assert (await scene.edge.ask(address="10.0.3.200/32")).allowed


class TestMoreThanOne:
    async def test_two_replicas_share_one_limit(self, mesh: ProcessSettings, tmp_path: Path) -> None:
        async with a_scene(mesh, of_address("1 per hour", 10)) as scene:
            address = f"unix:{tmp_path}/other.sock"
            changed = {"listen": address, "peers": {"limits": address}}
            settings = LimitsSettings(**{**scene.settings.model_dump(), **changed})
            async with running("limits", settings, wire, clock=scene.clock), an_edge(settings) as other:
                asked = await asyncio.gather(*(edge.ask() for _ in range(10) for edge in (scene.edge, other)))
        assert sum(one.allowed for one in asked) == 10

    async def test_the_count_outlives_a_restart(self, mesh: ProcessSettings) -> None:
        async with a_scene(mesh, of_address("1 per hour", 3)) as scene:
            assert await scene.edge.passed(2) == 2
            clock = scene.clock
        async with a_scene(mesh, of_address("1 per hour", 3), clock=clock) as scene:
            assert await scene.edge.passed(3) == 1

    async def test_the_count_outlives_kill_9(self, mesh: ProcessSettings, tmp_path: Path) -> None:
        (tmp_path / "limits.yaml").write_text("limits: {per-address: {rate: 1 per hour, burst: 3}}")
        assert await _until_killed(mesh, tmp_path, calls=2) == 2
        assert await _until_killed(mesh, tmp_path, calls=4) == 1

    async def test_it_counts_without_its_database(self, mesh: ProcessSettings, tmp_path: Path) -> None:
        async with a_scene(mesh, of_address("1 per minute", 3), database_host=str(tmp_path)) as scene:
            assert await scene.edge.passed(5) == 3


async def _until_killed(mesh: ProcessSettings, folder: Path, *, calls: int) -> int:
    """How many calls pass a service of its own process, which is then killed."""
    address = f"unix:{folder}/limits.sock"
    settings = LimitsSettings(**{**mesh.model_dump(), "peers": {"limits": address}})
    environment = os.environ | {
        "REELMESH_LISTEN": address,
        "REELMESH_METRICS_LISTEN": f"unix:{folder}/metrics.sock",
        "REELMESH_LIMITS_FILE": str(folder / "limits.yaml"),
        "REELMESH_LIMITS_STORE_PATIENCE_SECONDS": str(PATIENCE),
        "REELMESH_SECRETS_DIR": str(mesh.secrets_dir),
        "REELMESH_DATABASE_HOST": mesh.database_host,
        "PYTHONPATH": os.pathsep.join(sys.path),
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "services.limits"], env=environment, stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        while "ready" not in await asyncio.to_thread(process.stdout.readline):
            assert process.poll() is None
        async with an_edge(settings) as edge:
            return await Edge.passed(edge, calls)
    finally:
        process.send_signal(signal.SIGKILL)
        process.communicate()
        (folder / "limits.sock").unlink(missing_ok=True)
        (folder / "metrics.sock").unlink(missing_ok=True)
