"""`reelmesh rotate-authority`: has another authority sign the services' certificates, should the old one's key have got out."""

from __future__ import annotations

from datetime import UTC, datetime

from tools.reelmesh_cli.connection import DataOption, layout_of
from tools.reelmesh_cli.output import EXIT_FAILED, JsonOption, Output
from tools.reelmesh_cli.supervisor.state import running_state


def rotate_authority(data: DataOption = None, as_json: JsonOption = False) -> None:
    """Replaces the install's certificate authority while everything runs."""
    from tools.reelmesh_cli.supervisor.certificates import OVERLAP, replace_authority

    output, layout = Output(as_json), layout_of(data)
    if not (layout.secrets / "authority").is_dir():
        output.fail(f"There is no install in {layout.data}; `reelmesh up` makes one.", EXIT_FAILED)
    replace_authority(layout.secrets, datetime.now(UTC))
    minutes = OVERLAP.total_seconds() / 60
    running = running_state(layout) is not None
    output.say(
        f"A new authority takes over {'now' if running else 'at the next start'}: its certificates are in use after {minutes:.0f} minutes,"
        f" and the old one is believed no more after {2 * minutes:.0f}."
    )
    output.result(running=running, minutes=2 * minutes)
