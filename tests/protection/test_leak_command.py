"""`reelmesh leaks`, run as a person would run it before the protection service."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from services.kit.settings import ProcessSettings
from tests.protection.desk import NOTIFIER, Desk, a_desk
from tests.protection.test_titles import eventually
from tests.support import one_command
from tests.support.one_command import edge_of


@dataclass(frozen=True)
class Command(one_command.Command):
    """The command, and the service behind it."""

    desk: Desk


@pytest.fixture
async def command(mesh: ProcessSettings) -> AsyncIterator[Command]:
    async with a_desk(mesh) as desk, edge_of(mesh, "protection") as port:
        yield Command(mesh, f"http://127.0.0.1:{port}", desk)


async def test_a_case_from_the_report_to_the_statistics(command: Command, tmp_path: Path) -> None:
    page = tmp_path / "page.png"
    page.write_bytes(b"a picture of it")
    told = await command.told(
        "leaks", "report", "https://youtu.be/1", "--capture", str(page), "--found", "2026-11-01T10:00:00"
    )
    case = told["case"]
    assert (case["platform"], case["find_time"]) == ("youtube", "2026-11-01T10:00:00Z")
    assert [(one["filename"], one["capture_time"]) for one in case["evidence"]] == [("page.png", case["find_time"])]
    case_id = case["case_id"]

    seen = await command.run("leaks", "show", case_id, "--picture", str(tmp_path / "seen.png"))
    assert (seen.status, "No film of this case" in seen.err) == (1, True)
    await command.desk.found(case_id, {"eve": 1e-12})
    shown = await command.told("leaks", "show", case_id)
    revoke = next(one for one in shown["case"]["actions"] if one["kind"] == "LEAK_ACTION_KIND_REVOKE_SESSION")
    done = await command.told("leaks", "act", revoke["action_id"], "approve", "--comment", "clear")
    assert done["action"]["state"] == "LEAK_ACTION_STATE_APPROVED"
    twice = await command.run("leaks", "act", revoke["action_id"], "reject")
    assert (twice.status, "LEAK_ACTION_STATE_WRONG" in twice.err) == (3, True)

    signer = [word for name, value in NOTIFIER.items() for word in (f"--{name.replace('_', '-')}", value)]
    await command.told("leaks", "notifier", *signer)
    pdf = tmp_path / "notice.pdf"
    notice = (
        await command.told(
            "leaks",
            "notice",
            case_id,
            "--work",
            "“A film”",
            "--kind",
            "take-it-down",
            "--sign",
            "Ann Holder",
            "--pdf",
            str(pdf),
        )
    )["takedown"]
    assert (notice["state"], notice["carrier"]) == ("TAKEDOWN_STATE_SIGNED", "TAKEDOWN_CARRIER_FORM")
    assert pdf.read_bytes().startswith(b"%PDF-")
    waiting = (await command.told("leaks", "due"))["takedowns"]
    assert [one["takedown_id"] for one in waiting] == [notice["takedown_id"]]
    sent = await command.told("leaks", "record", notice["takedown_id"], "sent", "--reference", "YT-1")
    assert sent["takedown"]["reference"] == "YT-1"
    await command.told("leaks", "record", notice["takedown_id"], "removed")
    told = (await command.told("leaks", "stats"))["statistics"]
    assert [(one["platform"], one["sent"], one["removed"]) for one in told] == [("youtube", 1, 1)]
    for words in (("list",), ("show", case_id), ("stats",)):
        ran = await command.run("leaks", *words)
        assert (ran.status, "youtube" in ran.out) == (0, True)
    missing = await command.run("leaks", "report", "nothing-there.mp4")
    assert (missing.status, "neither a file nor a URL" in missing.err) == (1, True)


async def test_what_could_not_be_sent_is_signed_again(command: Command) -> None:
    case = await command.desk.report("https://t.me/films/7")
    await command.desk.notifier()
    notice = await command.desk.sign(await command.desk.draft(case))

    async def sent() -> bool:
        return (await command.desk.notice(notice)).state == 3

    await eventually(sent)
    await command.desk.record(notice, "REMOVED")
    await command.told("leaks", "record", notice.takedown_id, "reappeared")
    again = (await command.told("leaks", "send", notice.takedown_id, "--sign", "Ann Holder"))["takedown"]
    assert (again["state"], again["reappearances"]) == ("TAKEDOWN_STATE_SIGNED", 1)
