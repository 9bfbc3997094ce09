"""Whatever somebody changes, in the tables or in a file, is found without the server, and it is said where."""

from __future__ import annotations

import json
import random
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import pytest

from services.compliance.log.publishing import Publisher
from services.compliance.log.wiring import signer_of
from services.kit.settings import ProcessSettings
from tests.compliance.scene import Log, logging_all
from tests.support.stores import Emptying
from tools.audit_verifier.verifying import verified
from tools.reelmesh_cli.supervisor.layout import REPOSITORY

SIZE = 600


@dataclass
class Evidence:
    """A log that is left alone, with what was taken home of it."""

    here: Log
    folder: Path
    key: str

    @property
    def export(self) -> Path:
        return self.folder / "export"


@pytest.fixture(scope="module")
async def evidence(
    session_stores: ProcessSettings, emptied: Emptying, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Evidence]:
    async with logging_all(session_stores, compliance_audit_publish_seconds=3600) as here:
        await here.tell(*(here.played() for _ in range(100)))
        await here.tell(*(here.played() for _ in range(SIZE - 100)))
        found = Evidence(here, tmp_path_factory.mktemp("evidence"), await here.key())
        await here.export(found.export)
        await Publisher(here.database, here.process.store()).once()
        shutil.copytree(here.settings.data_dir / "objects/audit", found.folder / "tiles")
        yield found
    await emptied()


def test_what_nobody_touched_is_good(evidence: Evidence) -> None:
    verdict = verified(evidence.export, key=evidence.key)
    assert verdict.good, verdict.faults
    assert (verdict.tree_size, verdict.records, verdict.opened) == (SIZE, SIZE, SIZE)
    assert verdict.checkpoints >= 3
    assert verified(evidence.folder / "tiles", key=evidence.key).good


CHANGES = {
    "UPDATE log_leaves SET record = replace(convert_from(record, 'UTF8'), 'org_', 'orG_')::bytea WHERE leaf_index = 300": "leaf 300",
    "UPDATE log_leaves SET leaf_hash = sha256('x') WHERE leaf_index = 300": "leaf 300",
    "UPDATE log_leaves SET event_id = 'evt_x' WHERE leaf_index = 599": "leaf 599",
    "UPDATE log_leaves SET event_type = 'reelmesh.policy.v1.SessionRevoked' WHERE leaf_index = 0": "leaf 0",
    "DELETE FROM log_leaves WHERE leaf_index = 300": "tile 0/1",
    "DELETE FROM log_leaves WHERE leaf_index >= 590": "tile 0/2",
    "UPDATE log_tiles SET root = sha256('x') WHERE tile_index = 1": "leaves 256 to 511",
    "DELETE FROM log_tiles WHERE tile_index = 1": "tile 1/0",
    "UPDATE log_checkpoints SET note = replace(note, '600', '599') WHERE tree_size = 600": "the checkpoint in line",
    "UPDATE log_contents SET sealed = sealed || 'x'::bytea WHERE leaf_index = 17": "leaf 17",
    "UPDATE log_subject_keys SET sealed_key = sealed_key || 'x'::bytea WHERE key_id = (SELECT key_ids[1] FROM log_contents WHERE leaf_index = 17)": "leaf 17",
    # As one would who knows how it works, and has not the key that signs.
    """WITH other AS (SELECT replace(convert_from(record, 'UTF8'), 'Created', 'Crooked')::bytea AS record FROM log_leaves WHERE leaf_index = 300)
       UPDATE log_leaves l SET record = other.record, leaf_hash = sha256('\\x00'::bytea || other.record), event_type = 'reelmesh.policy.v1.PlaybackCrooked'
       FROM other WHERE leaf_index = 300""": "leaves 256 to 511",
    """WITH a AS (SELECT * FROM log_leaves WHERE leaf_index = 596), b AS (SELECT * FROM log_leaves WHERE leaf_index = 597)
       UPDATE log_leaves l SET record = CASE l.leaf_index WHEN 596 THEN b.record ELSE a.record END,
         leaf_hash = CASE l.leaf_index WHEN 596 THEN b.leaf_hash ELSE a.leaf_hash END FROM a, b WHERE l.leaf_index IN (596, 597)""": "leaf 596",
}


@pytest.mark.parametrize("change", CHANGES)
async def test_a_changed_row_is_found_and_named(evidence: Evidence, tmp_path: Path, change: str) -> None:
    """By the database's owner, with triggers off."""
    settings = evidence.here.settings
    owner = await asyncpg.connect(
        host=settings.database_host,
        user=settings.database_admin,
        database=settings.database_name,
        server_settings={"search_path": "compliance", "session_replication_role": "replica"},
    )
    tables = ("log_leaves", "log_tiles", "log_checkpoints", "log_contents", "log_subject_keys")
    try:
        for table in tables:
            await owner.execute(f"CREATE TEMP TABLE before_{table} AS TABLE {table}")
        assert not (await owner.execute(change)).endswith(" 0")
        verdict = verified(await evidence.here.export(tmp_path / "export"), key=evidence.key)
    finally:
        for table in tables:
            await owner.execute(f"DELETE FROM {table}")
            overriding = "OVERRIDING SYSTEM VALUE" if table == "log_subject_keys" else ""
            await owner.execute(f"INSERT INTO {table} {overriding} SELECT * FROM before_{table}")
        await owner.close()
    assert not verdict.good
    assert verdict.faults[0][0].startswith(CHANGES[change]), verdict.faults[:3]


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE log_leaves SET event_type = 'other'",
        "DELETE FROM log_leaves",
        "TRUNCATE log_leaves",
        "UPDATE log_tiles SET root = ''",
        "DELETE FROM log_tiles",
        "UPDATE log_checkpoints SET note = ''",
    ],
)
async def test_neither_the_service_nor_the_owner_of_the_database_changes_it_by_mistake(
    evidence: Evidence, statement: str
) -> None:
    settings = evidence.here.settings
    for user in ("compliance", settings.database_admin):
        connection = await asyncpg.connect(
            host=settings.database_host,
            user=user,
            database=settings.database_name,
            server_settings={"search_path": "compliance"},
        )
        try:
            with pytest.raises(asyncpg.PostgresError, match=r"permission denied|append-only"):
                await connection.execute(statement)
        finally:
            await connection.close()


def test_a_changed_byte_of_an_export_is_found(evidence: Evidence, tmp_path: Path) -> None:
    """Anywhere but in what the first line says of the file itself, whose origin and size are judged too."""
    whole = evidence.export.read_bytes()
    start, chance = whole.index(b"\n") + 1, random.Random(6962)
    for _ in range(60):
        at = chance.randrange(start, len(whole))
        changed = bytearray(whole)
        changed[at] = changed[at] ^ 1 if changed[at] != ord("\n") else ord(" ")
        (file := tmp_path / "export").write_bytes(changed)
        assert not verified(file, key=evidence.key).good, f"byte {at}: {whole[at - 40 : at + 40]!r}"


def test_an_export_that_was_cut_off_is_found(evidence: Evidence, tmp_path: Path) -> None:
    lines = evidence.export.read_bytes().splitlines(keepends=True)
    for kept in (1, 2, len(lines) // 2, len(lines) - 1):
        (file := tmp_path / "export").write_bytes(b"".join(lines[:kept]))
        assert not verified(file, key=evidence.key).good


async def test_a_log_that_was_written_anew_is_found_by_who_kept_a_checkpoint(
    evidence: Evidence, tmp_path: Path
) -> None:
    """With the key that signs one can make a log that is good in itself. Only what others kept tells it from the first."""
    here, kept = evidence.here, tmp_path / "checkpoint"
    lines = evidence.export.read_text().splitlines()
    notes = [json.loads(line)["checkpoint"] for line in lines if line.startswith('{"checkpoint"')]
    kept.write_text(notes[1])
    assert verified(evidence.export, key=evidence.key, checkpoint=kept).good
    signer = signer_of(here.process, here.settings)
    kept.write_text(signer.checkpoint(50, bytes(32)))
    verdict = verified(evidence.export, key=evidence.key, checkpoint=kept)
    assert verdict.faults == [("the checkpoint that was given", verdict.faults[0][1])]
    assert "two logs were shown" in verdict.faults[0][1]
    kept.write_text(signer.checkpoint(SIZE + 1, bytes(32)))
    verdict = verified(evidence.export, key=evidence.key, checkpoint=kept)
    assert "cut off" in verdict.faults[0][1]
    kept.write_text("no checkpoint")
    assert not verified(evidence.export, key=evidence.key, checkpoint=kept).good


@pytest.mark.parametrize("path", ["tile/0/000", "tile/0/001", "tile/0/002.p/88", "tile/1/000.p/2"])
@pytest.mark.parametrize("gone", [False, True])
def test_a_changed_tile_is_found(evidence: Evidence, tmp_path: Path, path: str, gone: bool) -> None:
    folder = tmp_path / "tiles"
    shutil.copytree(evidence.folder / "tiles", folder)
    content = bytearray((folder / path).read_bytes())
    content[len(content) // 2] ^= 0x80
    if gone:
        (folder / path).unlink()
    else:
        (folder / path).write_bytes(content)
    assert not verified(folder, key=evidence.key).good


def test_it_needs_nothing_of_the_server(evidence: Evidence, tmp_path: Path) -> None:
    """The folder of the verifier, alone and elsewhere."""
    shutil.copytree(REPOSITORY / "tools/audit_verifier", tmp_path / "tools/audit_verifier")
    (tmp_path / "tools/__init__.py").touch()
    command = [sys.executable, "-m", "tools.audit_verifier", str(evidence.export), "--json"]
    run = subprocess.run(
        [*command, "--key", evidence.key], cwd=tmp_path, env={}, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    assert json.loads(run.stdout)["verified"] is True
    other = "other.example+" + evidence.key.partition("+")[2]
    run = subprocess.run([*command, "--key", other], cwd=tmp_path, env={}, capture_output=True, text=True, check=False)
    assert run.returncode == 2
    assert "another key's" in json.loads(run.stdout)["error"]
