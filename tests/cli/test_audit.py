"""`reelmesh audit verify`, which needs no mesh, and what `reelmesh status` reads of anchoring."""

from __future__ import annotations

import asyncio
import base64
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

from typer.testing import CliRunner

from services.compliance.anchoring.running import measure
from services.compliance.anchoring.store import Standing
from services.compliance.log.merkle import Frontier, leaf_hash
from services.compliance.log.notes import Signer
from services.kit import telemetry
from tools.reelmesh_cli.app import app
from tools.reelmesh_cli.commands.status import anchoring
from tools.reelmesh_cli.supervisor.layout import Layout

SIGNER = Signer("log.example/audit", bytes(range(32)))
RECORDS = [json.dumps({"event_id": f"evt_{number}"}) for number in range(3)]


def export(file: Path, records: list[str]) -> Path:
    hashes = [leaf_hash(record.encode()) for record in RECORDS]
    lines: list[object] = [
        {
            "export": "reelmesh-audit/1",
            "origin": SIGNER.name,
            "verifier_key": str(SIGNER.verifier_key),
            "tree_size": len(records),
        },
        {"tile": {"level": 0, "index": 0, "hashes": base64.b64encode(b"".join(hashes)).decode()}},
        *({"leaf": {"index": index, "record": record}} for index, record in enumerate(records)),
        {"checkpoint": SIGNER.checkpoint(3, Frontier().grown(hashes).frontier.root())},
    ]
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return file


def test_a_good_export_is_verified_and_it_is_said_what_that_proves(tmp_path: Path) -> None:
    file = export(tmp_path / "export", RECORDS)
    ran = CliRunner().invoke(app, ["audit", "verify", str(file)])
    assert ran.exit_code == 0, ran.output
    assert "3 leaves" in ran.output
    assert "no known witness saw it" in ran.output
    assert "the key came with the file" in ran.output
    ran = CliRunner().invoke(app, ["audit", "verify", str(file), "--key", str(SIGNER.verifier_key), "--json"])
    assert json.loads(ran.output) | {"verified": True, "faults": [], "key_given": True} == json.loads(ran.output)


def test_a_changed_one_fails_and_it_is_said_where(tmp_path: Path) -> None:
    file = export(tmp_path / "export", [RECORDS[0], RECORDS[1].replace("evt_1", "evt_x"), RECORDS[2]])
    ran = CliRunner().invoke(app, ["audit", "verify", str(file)])
    assert ran.exit_code == 1
    assert "leaf 1: its record is not the one that was logged" in ran.output
    told = json.loads(CliRunner().invoke(app, ["audit", "verify", str(file), "--json"]).output)
    assert told["verified"] is False
    assert told["faults"][0]["where"] == "leaf 1"


def test_what_is_no_export_is_refused(tmp_path: Path) -> None:
    (tmp_path / "other").write_text("{}\n")
    assert CliRunner().invoke(app, ["audit", "verify", str(tmp_path / "other")]).exit_code == 2
    assert CliRunner().invoke(app, ["audit", "verify", str(tmp_path / "missing")]).exit_code == 2
    assert "--key" in CliRunner().invoke(app, ["audit", "verify", str(tmp_path)]).output


async def test_status_says_how_far_behind_anchoring_is(tmp_path: Path) -> None:
    layout, now = Layout.of(tmp_path), datetime(2026, 11, 29, tzinfo=UTC)
    assert list(anchoring(layout)) == [], "the service does not run"
    layout.sockets.mkdir(exist_ok=True)
    measure(Standing("evm-31337", 10, now, 7, now - timedelta(minutes=90), 1), "fees are high", now)
    async with telemetry.serving_metrics(f"unix:{layout.sockets / 'compliance.metrics.sock'}"):
        (found,) = await asyncio.to_thread(lambda: [one for one in anchoring(layout) if one.anchor == "evm-31337"])
    assert (found.leaves, found.seconds, found.in_trouble) == (7, 5400, True)
    assert found.line().startswith("audit log on evm-31337: 7 leaves wait, for up to 1 h 30 min")
    assert "in trouble" in found.line()
