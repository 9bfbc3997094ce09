"""Log files and how they are shown."""

from __future__ import annotations

import json
from pathlib import Path

from tools.reelmesh_cli.commands.logs import pretty
from tools.reelmesh_cli.supervisor import logs
from tools.reelmesh_cli.supervisor.logs import LogFile


def test_whatever_a_process_prints_becomes_a_json_line(tmp_path: Path) -> None:
    log = LogFile(tmp_path / "x.log", "x")
    log.write([b'{"message": "kept as it is"}', b"LOG:  listening on \xff", b"[1] [ERR] it broke", b""])
    lines = [json.loads(line) for line in (tmp_path / "x.log").read_text().splitlines()]
    assert [line["message"] for line in lines] == ["kept as it is", "LOG:  listening on �", "[1] [ERR] it broke"]
    assert [line.get("level") for line in lines] == [None, "info", "error"]


def test_a_log_is_put_aside_when_it_is_large_and_old_parts_go(tmp_path: Path) -> None:
    log = LogFile(tmp_path / "x.log", "x")
    line = json.dumps({"message": "m" * 1000}).encode()
    per_part = logs.PART_BYTES // (len(line) + 1)
    for _ in range((logs.KEPT_PARTS + 3) * per_part // 1000):
        log.write([line] * 1000)
    files = sorted(file.name for file in tmp_path.iterdir())
    assert files == ["x.log", *(f"x.log.{number}" for number in range(1, logs.KEPT_PARTS + 1))]
    assert all(file.stat().st_size <= logs.PART_BYTES for file in tmp_path.iterdir())


def test_a_json_line_is_shown_as_a_person_would_write_it() -> None:
    line = {
        "timestamp": "2026-01-02T03:04:05.678Z",
        "level": "warning",
        "message": "late",
        "service": "upload",
        "offset": 7,
        "correlation_id": "abc",
    }
    shown = pretty(json.dumps(line)).plain
    assert shown == "03:04:05.678 warni late  offset=7  correlation_id=abc"
    assert pretty("plain text\n").plain == "plain text"
