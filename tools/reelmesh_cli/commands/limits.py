"""`reelmesh limits`."""

from __future__ import annotations

import asyncio
import re
from typing import Any, Final

from rich.table import Table

from tools.reelmesh_cli.connection import DataOption, layout_of
from tools.reelmesh_cli.output import EXIT_FAILED, JsonOption, Output
from tools.reelmesh_cli.supervisor.envoy_server import limits_file
from tools.reelmesh_cli.supervisor.layout import Layout

_COUNTED: Final = re.compile(
    r'^reelmesh_limits_checks_total\{limit="(?P<limit>[^"]+)",outcome="(?P<outcome>\w+)"\} (?P<count>\S+)$',
    re.MULTILINE,
)


def limits(data: DataOption = None, as_json: JsonOption = False) -> None:
    """Shows the limits of calls and how often each allowed and refused one; says what is wrong with the install's file of limits."""
    from services.limits.rules import WrongLimits, read  # it reads YAML, which no other command needs

    output = Output(as_json)
    layout = layout_of(data)
    file = limits_file(layout)
    try:
        written = read(file)
    except WrongLimits as error:
        output.fail(f"{file} is not heeded: {error}", EXIT_FAILED, file=str(file))
    counts = asyncio.run(_counts(layout))
    rows: list[dict[str, Any]] = [
        {
            "limit": name,
            "per": list(entry.per),
            "methods": entry.methods or "all",
            "tier": tier,
            "rate": _rate(quota.rate),
            "burst": quota.burst if quota.rate else None,
        }
        for name, entry in written.limits.items()
        for tier, quota in (("", entry), *entry.tiers.items())
    ]
    output.result(file=str(file), file_exists=file.exists(), limits=rows, counted=counts)
    if not as_json:
        output.people.print(_table(rows, counts))
        changed = "changed by" if file.exists() else "as shipped; to change them, write"
        output.say(f"[dim]{changed} {file}; counted since the service started[/]")


def _rate(rate: tuple[int, int] | None) -> str:
    if rate is None:
        return "unlimited"
    count, seconds = rate
    return f"{count} per {'second' if seconds == 1 else f'{seconds} seconds'}"


async def _counts(layout: Layout) -> dict[str, dict[str, int]]:
    """Allowed and refused calls by limit; empty while the service does not run."""
    import httpx  # not before it is needed: it takes a while to import

    transport = httpx.AsyncHTTPTransport(uds=str(layout.sockets / "limits.metrics.sock"))
    try:
        async with httpx.AsyncClient(transport=transport, timeout=2) as metrics:
            told = (await metrics.get("http://limits/metrics")).text
    except httpx.HTTPError:
        return {}
    counts: dict[str, dict[str, int]] = {}
    for found in _COUNTED.finditer(told):
        counts.setdefault(found["limit"], {})[found["outcome"]] = int(float(found["count"]))
    return counts


def _table(rows: list[dict[str, Any]], counts: dict[str, dict[str, int]]) -> Table:
    """One line a limit, and one below it for each tier that has another rate. It fits into 80 columns."""
    table = Table(box=None, header_style="dim", padding=(0, 1, 0, 0))
    for heading in ("limit", "counted by", "rate", "burst", "allowed", "refused"):
        left = heading in ("limit", "counted by")
        table.add_column(heading, justify="left" if left else "right", no_wrap=True)
    for row in rows:
        whole = row["tier"] == ""
        counted = counts.get(row["limit"], {}) if whole else {}
        table.add_row(
            row["limit"] if whole else f"  [dim]{row['tier']}[/]",
            "+".join(row["per"]) if whole else "",
            _short(row["rate"]),
            str(row["burst"] or ""),
            str(counted.get("allowed", "")),
            str(counted.get("refused", "")),
        )
    return table


def _short(rate: str) -> str:
    return rate.replace(" per ", "/").replace("3600 seconds", "h").replace("/60 seconds", "/min").replace("second", "s")
