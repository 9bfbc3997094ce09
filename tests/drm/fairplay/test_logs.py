"""FairPlay in a process of its own, well and badly used: nothing that it says gives a secret away."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from reelmesh.policy.v1 import decisions_service_pb2_grpc, policy_service_pb2_grpc

from services.drm.__main__ import CONTRACT, CONTRACTS, DrmSettings
from services.kit.clock import FixedClock, SystemClock
from services.kit.settings import ProcessSettings
from services.policy.__main__ import CONTRACT as POLICY_CONTRACT
from services.policy.__main__ import PolicySettings
from tests.drm.fairplay.scene import FairPlay, own_secrets
from tests.drm.scene import Film, keys_over
from tests.drm.test_logs import processes, written
from tests.policy.scene import Scene, an_edge
from tests.support.bus import on_the_bus
from tests.support.fairplay_client import Asking
from tests.support.keys import organisation_of_operator
from tests.support.running import connected

D_FUNCTIONS = Path(__file__).resolve().parents[2] / "support/fairplay_d.py"


async def use(fairplay: FairPlay) -> tuple[Film, list[Asking]]:
    """Asks for licences, well and badly."""
    film = await fairplay.keys.film("AUDIO", "HD")
    asked = [fairplay.ask(film), fairplay.ask(film, without={0x71B5595AC1521133}), fairplay.ask(film)]
    await fairplay.send(film, asked[0].spc)
    await fairplay.send(film, asked[0].spc)
    await fairplay.send(film, asked[1].spc)
    await fairplay.send(film, asked[2].spc[:-16])
    await fairplay.send(film, asked[2].spc, ticket=film.ticket[:-6] + "AAAAAA")
    (fairplay.folder / "ask").write_text("not " + fairplay.provider.application_secret_key.hex())
    await fairplay.send(film, asked[2].spc)
    (fairplay.folder / "private_key.pem").write_bytes(fairplay.provider.pem()[:-90])
    await fairplay.send(film, asked[2].spc)
    return film, asked


@pytest.mark.parametrize("function", ["derive", "broken"])
async def test_no_log_line_holds_a_key_of_apples_or_ours(mesh: ProcessSettings, tmp_path: Path, function: str) -> None:
    folder = mesh.run_dir / f"fps-{function}"
    folder.mkdir(exist_ok=True)
    secrets, provider = own_secrets(mesh, tmp_path)
    own: dict[str, Any] = {"run_dir": folder, "log_level": "DEBUG", "secrets_dir": secrets, "data_dir": tmp_path}
    shared = {**mesh.model_dump(), **own, "drm_fairplay_d_function": f"{D_FUNCTIONS}:{function}"}
    settings, log = DrmSettings(**shared), tmp_path / "log"
    async with (
        processes(settings, log),
        on_the_bus(settings) as bus,
        connected(settings, "policy", POLICY_CONTRACT) as to_policy,
        connected(settings, "drm", CONTRACT, key="", caller="packaging") as packager,
        connected(settings, "drm", *CONTRACTS, key="") as player,
        an_edge(settings) as edge,
    ):
        scene = Scene(
            PolicySettings(**shared),
            policy_service_pb2_grpc.PolicyServiceStub(to_policy),
            decisions_service_pb2_grpc.DecisionsServiceStub(to_policy),
            edge,
            bus,
            FixedClock(SystemClock().now()),
            organisation_of_operator(settings),
            to_policy,
            to_policy,
        )
        fairplay = FairPlay(keys_over(scene, settings, packager, player, player), provider, secrets / "fairplay")
        film, asked = await use(fairplay)
        said = bus.said()

    text = log.read_text(encoding="utf-8", errors="replace")
    assert "FAIRPLAY_SPC_REFUSED" in text, "the log is the right one"
    hidden = [value for key in film.keys for value in (key.key, key.iv)] + [provider.application_secret_key]
    hidden += [value for asking in asked for value in (asking.session_key, asking.r1, asking.seed)]
    forms = {form for value in hidden for form in (value.hex(), value.hex().upper(), *written(value[:16]))}
    forms |= {provider.pem().decode().splitlines()[3], film.ticket.rpartition(".")[2]}
    found = [line for line in text.splitlines() for form in forms if form in line]
    assert not found, found[0]
    assert not [event for event in said for value in hidden if value in event]


def test_a_d_function_that_is_not_there_stops_the_service_at_its_start(tmp_path: Path) -> None:
    """As every setting does that cannot be used; it says which."""
    settings = DrmSettings(secrets_dir=tmp_path, drm_fairplay_d_function="/nowhere.py:derive")
    with pytest.raises(Exception, match="REELMESH_DRM_FAIRPLAY_D_FUNCTION"):
        settings.fairplay(SystemClock())
