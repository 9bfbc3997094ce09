"""What happens on a mesh is in its audit log, which anybody can take home and verify."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import httpx
from typer.testing import CliRunner

from tests.support.counted_films import film
from tests.support.mesh import Mesh
from tools.reelmesh_cli.app import app


def test_what_happened_is_in_a_log_that_verifies_elsewhere(whole_mesh: Mesh, tmp_path: Path) -> None:
    uploaded = whole_mesh.command("upload", str(film()))
    file, kept = tmp_path / "export", tmp_path / "checkpoint"
    assert whole_mesh.command("audit", "anchors") == {"anchors": [], "standings": []}, "off until it is set"
    checkpoint = logged(whole_mesh, file, uploaded["asset_id"])
    kept.write_text(checkpoint["note"])
    asked = ["audit", "verify", str(file), "--key", checkpoint["verifier_key"], "--checkpoint", str(kept), "--json"]
    ran = CliRunner().invoke(app, asked)
    assert ran.exit_code == 0, ran.output
    assert json.loads(ran.output)["tree_size"] >= checkpoint["tree_size"] > 0
    origin = checkpoint["verifier_key"].partition("+")[0]
    assert httpx.get(f"{whole_mesh.url}/audit/checkpoint", trust_env=False).text.startswith(f"{origin}\n")


def logged(mesh: Mesh, file: Path, asset_id: str) -> dict[str, Any]:
    """Takes the log home once the upload is in it; returns the checkpoint that there was just before."""
    give_up = time.monotonic() + 100
    while True:
        checkpoint = mesh.command("audit", "checkpoint")
        mesh.command("audit", "export", str(file))
        if f'"asset_id\\":\\"{asset_id}\\"' in file.read_text():
            return checkpoint
        assert time.monotonic() < give_up, "the upload does not come to be in the log"
