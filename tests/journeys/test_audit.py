"""What happens on a mesh is in its audit log, which anybody can take home and verify."""

from __future__ import annotations

from pathlib import Path

import httpx

from tests.support.counted_films import film
from tests.support.mesh import Mesh


def test_what_happened_is_in_a_log_that_verifies_elsewhere(whole_mesh: Mesh, tmp_path: Path) -> None:
    whole_mesh.command("demo", str(film()))
    checkpoint, file = whole_mesh.command("audit", "checkpoint"), tmp_path / "export"
    assert checkpoint["tree_size"] >= 3, "an upload, its packages, a playback"
    (kept := tmp_path / "checkpoint").write_text(checkpoint["note"])
    whole_mesh.command("audit", "export", str(file))
    verdict = whole_mesh.command(
        "audit", "verify", str(file), "--key", checkpoint["verifier_key"], "--checkpoint", str(kept)
    )
    assert verdict["verified"]
    assert verdict["tree_size"] >= checkpoint["tree_size"]
    assert "PlaybackCreated" in file.read_text()
    origin = checkpoint["verifier_key"].partition("+")[0]
    assert httpx.get(f"{whole_mesh.url}/audit/checkpoint", trust_env=False).text.startswith(f"{origin}\n")
