"""Checkpoints in Bitcoin by OpenTimestamps: what calendars promised, what became of it, and who verifies that."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import json
import subprocess
import sys
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
import sqlalchemy as sa
from bitcoin.core import CBlockHeader
from opentimestamps.core.notary import BitcoinBlockHeaderAttestation
from opentimestamps.core.serialize import BytesDeserializationContext
from opentimestamps.core.timestamp import DetachedTimestampFile
from pydantic import ValidationError
from reelmesh.compliance.v1 import audit_log_service_pb2 as api
from reelmesh.compliance.v1 import events_pb2 as events

from services.compliance.anchoring.calendars import OpenTimestampsAnchor
from services.compliance.anchoring.evm_chain import UnsafeKeyFile, key_of
from services.compliance.anchoring.running import Anchoring
from services.kit.ids import new_id
from services.kit.settings import ProcessSettings
from tests.compliance.anchoring.calendar import HEIGHT, Calendar, listening
from tests.compliance.scene import Log, logging_all, refused, settings_of
from tests.support.one_command import Command, edge_of
from tools.audit_verifier.note import Bad
from tools.audit_verifier.opentimestamps import Header, read
from tools.audit_verifier.verifying import verified
from tools.reelmesh_cli.supervisor.layout import REPOSITORY

EVERY = timedelta(hours=1)


@contextlib.asynccontextmanager
async def anchoring(
    here: Log, *calendars: Calendar, needed: int = 1, trusted: tuple[str, ...] = ()
) -> AsyncIterator[Anchoring]:
    """Anchors the log by calendars, a round at a time."""
    async with contextlib.AsyncExitStack() as stack:
        urls = [await stack.enter_async_context(listening(one)) for one in calendars]
        http = await stack.enter_async_context(httpx.AsyncClient(trust_env=False))
        anchor = OpenTimestampsAnchor(here.database, http, tuple(urls), needed, trusted)
        yield Anchoring(here.database, here.clock, anchor, EVERY)


async def trouble(here: Log) -> str:
    async with here.database.transaction() as tx:
        query = sa.text("SELECT coalesce(max(trouble), '') FROM anchor_troubles")
        return str((await tx.execute(query)).scalar_one())


async def test_a_checkpoint_comes_to_be_in_bitcoin_and_anybody_verifies_that(here: Log, tmp_path: Path) -> None:
    calendar, other = Calendar(), Calendar(status=503)
    await here.tell(*(here.played() for _ in range(3)))
    async with anchoring(here, calendar, other) as anchors:
        await anchors.once()
        await anchors.once()
        (pending,) = (await here.api.ListAnchors(api.ListAnchorsRequest())).anchors
        assert (pending.anchor, pending.tree_size, pending.confirmed) == ("opentimestamps", 3, False)
        assert calendar.taken == [hashlib.sha256(pending.note.encode()).digest()], "once"
        assert calendar.looked == 2, "in each round it is asked what became of it"
        promise = verified(await here.export(tmp_path / "promised"), key=await here.key())
        assert promise.good, promise.faults
        assert "proves nothing yet" in "\n".join(promise.lines())
        await here.tell(here.played())
        here.clock.advance(EVERY)
        await anchors.once()
        assert len(calendar.taken) == 2, "the next one does not wait for the one before"
        header = calendar.mine()
        await anchors.once()
        await anchors.once()
    late, first = (await here.api.ListAnchors(api.ListAnchorsRequest())).anchors
    assert [(one.confirmed, one.block_number) for one in (first, late)] == [(True, HEIGHT)] * 2
    file = (await here.api.GetAnchorFile(api.GetAnchorFileRequest(anchor_id=first.anchor_id))).file
    assert file.content_type == "application/vnd.opentimestamps.v1"
    judge_by_the_reference(file.data, first.note, header)
    judge_export(await here.export(tmp_path / "export"), await here.key(), header)
    with refused("ANCHOR_NOT_FOUND"):
        await here.api.GetAnchorFile(api.GetAnchorFileRequest(anchor_id=new_id("anc")))


def judge_by_the_reference(content: bytes, note: str, header: str) -> None:
    """As the client of OpenTimestamps does, whose library this is."""
    found = DetachedTimestampFile.deserialize(BytesDeserializationContext(content))
    assert found.file_digest == hashlib.sha256(note.encode()).digest()
    block = CBlockHeader.deserialize(bytes.fromhex(header))
    times = [
        attestation.verify_against_blockheader(message, block)
        for message, attestation in found.timestamp.all_attestations()
        if isinstance(attestation, BitcoinBlockHeaderAttestation)
    ]
    assert times == [block.nTime]


def judge_export(export: Path, key: str, header: str) -> None:
    verdict = verified(export, key=key)
    assert verdict.good, verdict.faults
    assert [anchor.block for anchor in verdict.anchors] == [HEIGHT, HEIGHT]
    assert "give that block's header" in "\n".join(verdict.lines())
    verdict = verified(export, key=key, headers=(header,))
    assert verdict.good
    block = Header.read(header)
    assert [(anchor.time, anchor.block_hash) for anchor in verdict.anchors] == [(block.time, block.block_hash)] * 2
    assert f"if block {HEIGHT} of Bitcoin is {block.block_hash}" in "\n".join(verdict.lines())
    with pytest.raises(Bad, match="not the work"):
        verified(export, key=key, headers=(header[:-16] + "0100001d" + header[-8:],))
    lines = [json.loads(line) for line in export.read_text().splitlines()]
    places = [at for at, line in enumerate(lines) if "anchor" in line]
    first, second = (lines[at]["anchor"] for at in places)
    stamp = base64.b64decode(first["ots"])
    changes: list[dict[str, Any]] = [
        {"ots": second["ots"]},
        {"ots": ""},
        {"ots": base64.b64encode(stamp[:-1]).decode()},
        {"ots": base64.b64encode(stamp + b"?").decode()},
        {"ots": base64.b64encode(b"?" + stamp[1:]).decode()},
        {"note": second["note"]},
    ]
    for change in changes:
        changed = [*lines[: places[0]], {"anchor": first | change}, *lines[places[0] + 1 :]]
        (file := export.with_name("changed")).write_text("".join(json.dumps(line) + "\n" for line in changed))
        found = verified(file, key=key, headers=(header,))
        assert not found.good, change
        assert found.faults[0][0] == f"the anchor in line {places[0] + 1}", (change, found.faults)
    judge_every_byte(stamp, block.root)


def judge_every_byte(stamp: bytes, root: bytes) -> None:
    """Whatever byte is changed, the way does not lead from the checkpoint to the block any more; where it does, a hint was changed: who promised, or
    the block's number."""
    promise = stamp.index(bytes.fromhex("83dfe30d2ef90c8e"))
    hints = {*range(promise - 2, promise + 40), *range(len(stamp) - 13, len(stamp))}
    digest = read(stamp).digest
    for at in range(len(stamp)):
        with contextlib.suppress(Bad):
            found = read(stamp[:at] + bytes([stamp[at] ^ 1]) + stamp[at + 1 :])
            leads = found.digest == digest and root in [one for _, one in found.bitcoin]
            assert not leads or at in hints, at


async def test_the_command_shows_anchors_and_saves_what_others_verify(mesh: ProcessSettings, tmp_path: Path) -> None:
    calendar = Calendar()
    async with listening(calendar) as url:
        settings = {"compliance_anchoring_calendars": (url,), "compliance_anchoring_calendars_poll_seconds": 0.1}
        async with logging_all(mesh, **settings) as here, edge_of(mesh, "compliance") as port:
            await here.tell(here.played())
            async with asyncio.timeout(30):
                while not calendar.promised:
                    await asyncio.sleep(0.02)
            header = calendar.mine()
            told = await here.bus.hears(events.CheckpointAnchored)
            assert (told.anchor, told.tree_size, told.block_number) == ("opentimestamps", 1, HEIGHT)
            command = Command(mesh, f"http://127.0.0.1:{port}")
            ran = await command.run("audit", "anchors", "--save", str(tmp_path / "saved"))
    assert ran.status == 0, ran
    assert str(HEIGHT) in ran.out
    assert "opentimestamps: 1 leaves are anchored, nothing waits" in ran.out + ran.err
    note = (tmp_path / "saved/checkpoint-1").read_text()
    judge_by_the_reference((tmp_path / "saved/checkpoint-1.ots").read_bytes(), note, header)


async def test_as_many_calendars_as_are_needed_must_take_it(here: Log) -> None:
    good, away = Calendar(), Calendar(status=503)
    await here.tell(here.played())
    async with anchoring(here, good, away, needed=2) as anchors:
        await anchors.once()
        assert "1 calendars took the checkpoint, and 2 are needed: 127.0.0.1 (answered 503)" in await trouble(here)
        (pending,) = (await here.api.ListAnchors(api.ListAnchorsRequest())).anchors
        with refused("ANCHOR_WITHOUT_FILE"):
            await here.api.GetAnchorFile(api.GetAnchorFileRequest(anchor_id=pending.anchor_id))
        away.status = 0
        await anchors.once()
        assert await trouble(here) == ""
    content = (await here.api.GetAnchorFile(api.GetAnchorFileRequest(anchor_id=pending.anchor_id))).file.data
    assert sorted(read(content).calendars) == sorted([good.url, away.url])


async def test_what_calendars_lost_keeps_no_others_from_being_begun(here: Log) -> None:
    calendar = Calendar()
    await here.tell(here.played())
    async with anchoring(here, calendar) as anchors:
        await anchors.once()
        await anchors.once()
        assert calendar.looked == 2
        here.clock.advance(timedelta(days=8))
        await here.tell(here.played())
        await anchors.once()
    assert calendar.looked == 3, "of the new one only"
    listed = await here.api.ListAnchors(api.ListAnchorsRequest())
    assert [one.confirmed for one in listed.anchors] == [False, False]


async def test_what_is_no_timestamp_is_not_taken(here: Log) -> None:
    calendar = Calendar(answer=b"\xf0\x01")
    await here.tell(here.played())
    async with anchoring(here, calendar) as anchors:
        await anchors.once()
        assert "its answer is no timestamp" in await trouble(here)
        calendar.answer = bytes(20_000)
        await anchors.once()
        assert "its answer is too long" in await trouble(here)


async def test_a_calendar_cannot_have_this_service_ask_anybody(here: Log) -> None:
    victim = Calendar()
    async with listening(victim) as url:
        calendar = Calendar(url=f"{url}/")
        await here.tell(here.played())
        async with anchoring(here, calendar) as anchors:
            await anchors.once()
            await anchors.once()
        assert victim.looked == 0
        async with anchoring(here, calendar, trusted=("http://127.0.0.1:*",)) as anchors:
            await anchors.once()
        assert victim.looked == 1, "unless the operator trusts it"


def test_nothing_is_imported_until_it_is_set_and_what_is_missing_is_named() -> None:
    said = subprocess.run([sys.executable, "-c", _PROGRAM], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert said.stdout.splitlines() == [
        "[]",
        "anchoring to an EVM chain needs the library web3: install Reelmesh with the extra `anchoring`",
        "anchoring by OpenTimestamps needs the library opentimestamps: install Reelmesh with the extra `anchoring`",
    ]


_PROGRAM = f"""
import sys
sys.path[:0] = [{str(REPOSITORY)!r}, {str(REPOSITORY / "gen/python")!r}]
import services.compliance.__main__
heavy = ("web3", "eth_account", "opentimestamps", "bitcoin")
print([name for name in heavy if name in sys.modules])
sys.modules.update(dict.fromkeys(heavy + ("opentimestamps.core.timestamp",)))  # as where they are not installed
from services.compliance.anchoring.anchor import NotInstalled
from services.compliance.anchoring.calendars import OpenTimestampsAnchor
from services.compliance.anchoring.evm_chain import Chain
for make in (lambda: Chain("http://127.0.0.1:9", 1), lambda: OpenTimestampsAnchor(None, None, ("http://127.0.0.1:9",), 1, ())):
    try:
        make()
    except NotInstalled as error:
        print(error)
"""


def test_a_key_that_others_may_read_is_refused_and_settings_must_be_whole(
    session_stores: ProcessSettings, tmp_path: Path
) -> None:
    (file := tmp_path / "key").write_text("11" * 32)
    file.chmod(0o640)
    with pytest.raises(UnsafeKeyFile, match="chmod 600"):
        key_of(file)
    file.chmod(0o600)
    assert key_of(file).address == "0x19E7E376E7C213B7E7e7e46cc70A5dD086DAff2A"
    file.write_text("not a key of anybody's")
    with pytest.raises(UnsafeKeyFile, match="64 hexadecimal digits") as error:
        key_of(file)
    assert "anybody" not in str(error.value)
    with pytest.raises(ValidationError, match="CHAIN_ID"):
        settings_of(session_stores, compliance_anchoring_evm_url="http://127.0.0.1:9")
