"""The limits as data: what is shipped, what an install changes, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from prometheus_client import REGISTRY

from services.kit.settings import ProcessSettings
from services.limits.domain import Limit
from services.limits.rules import Call, Rules, RulesFile, WrongLimits, read
from tests.limits.scene import GUESS, METHOD, a_scene, of_address


def written(folder: Path, changes: object) -> Path:
    file = folder / "limits.yaml"
    file.write_text(changes if isinstance(changes, str) else yaml.safe_dump(changes), encoding="utf-8")
    return file


def applied(rules: Rules, **call: str) -> dict[str, Limit]:
    return {rule.name: ask.limit for rule, ask in rules.asks(Call(**{"method": METHOD, **call}))}


def test_what_is_shipped_is_right() -> None:
    rules = Rules(read())
    assert applied(rules, address="a") == {"per-address": Limit(50, 1, 200)}
    assert applied(rules, caller="c", tier="basic") == {"per-caller": Limit(50, 1, 150)}
    assert applied(rules, caller="c", tier="one that nobody knows") == {"per-caller": Limit(100, 1, 200)}
    assert set(applied(rules, method=GUESS, address="a")) == {"per-address", "guesses-per-address"}


def test_an_install_changes_what_it_names_and_nothing_else(tmp_path: Path) -> None:
    changes = {
        "methods": {"guessing": [METHOD]},
        "limits": {
            "per-address": {"burst": 7},
            "per-caller": {"tiers": {"free": {"rate": "5 per 10 minutes"}, "staff": {"rate": "unlimited"}}},
            "uploads-per-caller": None,
        },
    }
    rules = Rules(read(written(tmp_path, changes)))
    assert applied(rules, address="a")["per-address"] == Limit(50, 1, 7)
    assert applied(rules, address="a")["guesses-per-address"] == Limit(20, 60, 40)
    assert applied(rules, caller="c", tier="free") == {"per-caller": Limit(5, 600, 60)}
    assert applied(rules, caller="c", tier="staff") == {}
    assert "uploads-per-caller" not in applied(rules, method="reelmesh.upload.v1.UploadService/WriteUpload", caller="c")


def test_no_two_callers_share_a_bucket_because_their_parts_run_together() -> None:
    rules = Rules(read())
    one = rules.asks(Call(method=f"{GUESS}1", address="0.0.0.1/32"))
    other = rules.asks(Call(method=GUESS, address="10.0.0.1/32"))
    assert not {ask.key for _, ask in one} & {ask.key for _, ask in other}


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ("limits: [", "cannot be read"),
        ("just words", "the file must be a map"),
        ({"limit": {}}, "limit: Extra inputs"),
        ({"limits": {"per-address": {"rate": "many"}}}, "limits.per-address.rate: a rate is written"),
        ({"limits": {"per-address": {"rate": "0 per second"}}}, "limits.per-address.rate"),
        ({"limits": {"per-address": {"burst": 0}}}, "limits.per-address.burst"),
        ({"limits": {"per-address": {"rate": "1 per 999999 hours", "burst": 1000}}}, "longer than 31 days"),
        ({"limits": {"per-address": {"per": ["colour"]}}}, "limits.per-address.per.0"),
        ({"limits": {"per-address": {"per": []}}}, "limits.per-address.per"),
        ({"limits": {"per-address": {"methods": "nothing"}}}, "there is no group 'nothing'"),
        ({"limits": {"Ünï": {"per": ["address"], "rate": "1 per second"}}}, "limits.Ünï"),
        ({"limits": {"per-caller": {"tiers": {"free": {"speed": 1}}}}}, "limits.per-caller.tiers.free.speed"),
        ({"methods": {"guessing": None}}, "there is no group 'guessing'"),
        ({"unlimited_addresses": ["here"]}, "unlimited_addresses.0"),
        ({"edge": None}, "edge: Field required"),
        ("a: " + "x" * 1_100_000, "larger than 1 MiB"),
        ("a: !!python/object/apply:os.system ['false']", "cannot be read"),
    ],
)
def test_what_is_wrong_is_refused_by_name(tmp_path: Path, changes: object, told: str) -> None:
    with pytest.raises(WrongLimits) as caught:
        read(written(tmp_path, changes))
    assert told in str(caught.value)


def test_a_wrong_file_at_the_start_leaves_what_is_shipped(tmp_path: Path) -> None:
    rules = RulesFile(written(tmp_path, {"edge": None})).current()
    assert applied(rules, address="a") == {"per-address": Limit(50, 1, 200)}
    assert REGISTRY.get_sample_value("reelmesh_limits_file_refused") == 1


async def test_a_changed_file_is_heeded_at_the_next_call(mesh: ProcessSettings) -> None:
    async with a_scene(mesh, of_address("1 per hour", 1)) as scene:
        assert await scene.edge.passed(3) == 1
        scene.write(of_address("1 per hour", 4))
        assert await scene.edge.passed(6) == 4


async def test_a_file_that_turns_wrong_is_told_and_what_was_in_force_stays(
    mesh: ProcessSettings, capsys: pytest.CaptureFixture[str]
) -> None:
    async with a_scene(mesh, of_address("1 per hour", 2)) as scene:
        assert await scene.edge.passed(1) == 1
        scene.write("limits: {per-address: {rate: fast}}")
        assert await scene.edge.passed(3) == 1
        assert "limits.per-address.rate: a rate is written" in capsys.readouterr().out
        scene.file.unlink()
        assert await scene.edge.passed(50) == 50
