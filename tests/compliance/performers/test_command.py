"""`reelmesh records`, run as a person would run it."""

from __future__ import annotations

from pathlib import Path

from tests.compliance.performers.filing import Files
from tests.support.keys import with_api_key
from tests.support.one_command import Command, edge_of


async def test_records_are_listed_shown_taken_and_taken_back(files: Files, tmp_path: Path) -> None:
    filed = await files.complete()
    table = tmp_path / "index.csv"
    with with_api_key(files.settings, organisation_id=files.organisation_id, permissions=["*"], name="ops") as key:
        async with edge_of(files.settings, "compliance") as port:
            command = Command(files.settings, f"http://127.0.0.1:{port}")
            listed = await command.run("records", "list", "--asset", filed.asset_id, key=key)
            assert "A film" in listed.out
            assert "nothing" in listed.out
            shown = await command.run("records", "statement", filed.asset_id, key=key)
            assert "Grace Hopper" in shown.out
            said = await command.run("records", "custodian", "Ada Byron", "--address", "2 Quay, Aarhus", key=key)
            assert "Ada Byron, 2 Quay, Aarhus; assets that a production names need records" in said.out
            shown = await command.run("records", "statement", filed.asset_id, "--json", key=key)
            assert shown.json["statements"][0]["custodian"] == "Ada Byron"
            words = ("--purpose", "inspection by the authority")
            written = await command.run("records", "export", str(table), *words, "--json", key=key)
            assert written.json["size_bytes"] == table.stat().st_size
            assert "Ada Lovelace" in table.read_text(encoding="utf-8")
            assert table.stat().st_mode & 0o077 == 0
            await command.run("records", "withdraw", filed.release.release_id, key=key)
            listed = await command.run("records", "list", "--asset", filed.asset_id, key=key)
            assert "release withdrawn" in listed.out
