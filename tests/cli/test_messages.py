"""`reelmesh messages`."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path

from typer.testing import CliRunner

from services.kit.clock import SystemClock
from services.notifications.channels import console
from services.notifications.channels.console import KEPT_FOR, Console
from services.notifications.domain import Letter
from tools.reelmesh_cli.app import app


def sent(data: Path, message_id: str, code: str) -> None:
    letter = Letter(
        message_id, "ada@example.com", "verify-email", f"{code} [is] your code", f"Code: {code}\n", "", code
    )
    asyncio.run(Console(data / "messages", "email", SystemClock()).send(letter))


def test_messages_are_shown_in_the_order_in_which_they_were_sent(tmp_path: Path) -> None:
    sent(tmp_path, "msg_2", "22222222")
    sent(tmp_path, "msg_1", "11111111")
    for_people = CliRunner().invoke(app, ["messages", "--data", str(tmp_path)])
    assert for_people.exit_code == 0
    assert for_people.output.index("11111111 [is] your code") < for_people.output.index("22222222 [is] your code")
    for_programs = CliRunner().invoke(app, ["messages", "--data", str(tmp_path), "--json"])
    assert [json.loads(line)["code"] for line in for_programs.output.splitlines()] == ["11111111", "22222222"]


def test_it_is_said_when_there_are_none(tmp_path: Path) -> None:
    assert "Nobody was sent anything" in CliRunner().invoke(app, ["messages", "--data", str(tmp_path)]).output


def test_messages_are_gone_after_a_day(tmp_path: Path) -> None:
    sent(tmp_path, "msg_1", "11111111")
    sent(tmp_path, "msg_2", "22222222")
    old = (tmp_path / "messages" / "msg_1.json").stat().st_mtime - KEPT_FOR - 1
    os.utime(tmp_path / "messages" / "msg_1.json", (old, old))
    console.forget_old(tmp_path / "messages")
    assert [file.name for file in (tmp_path / "messages").iterdir()] == ["msg_2.json"]
