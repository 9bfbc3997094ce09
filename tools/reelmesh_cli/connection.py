"""Which mesh a command speaks to, and as whom."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tools.reelmesh_cli.output import EXIT_UNREACHABLE, EXIT_USAGE, Output
from tools.reelmesh_cli.supervisor.layout import Layout, default_data_directory
from tools.reelmesh_cli.supervisor.state import running_state

if TYPE_CHECKING:
    from tools.reelmesh_sdk import Client

DataOption = Annotated[
    Path | None,
    typer.Option("--data", help="Data directory.  [env: REELMESH_DATA_DIR; default: .reelmesh]", show_default=False),
]
UrlOption = Annotated[
    str | None,
    typer.Option(
        "--url", help="Address of the edge.  [env: REELMESH_URL; default: the mesh of --data]", show_default=False
    ),
]


def layout_of(data: Path | None) -> Layout:
    """The layout of the data directory that was asked for."""
    return Layout.of(data or default_data_directory())


def operator_key(layout: Layout) -> str | None:
    """REELMESH_API_KEY, else the key that this installation made for its operator."""
    if key := os.environ.get("REELMESH_API_KEY"):
        return key.strip()
    try:
        return (layout.secrets / "operator_api_key").read_text().strip()
    except OSError:
        return None


def edge_url(layout: Layout, url: str | None, output: Output) -> str:
    """--url, else REELMESH_URL, else what the running mesh of this data directory says."""
    if chosen := url or os.environ.get("REELMESH_URL"):
        return chosen
    state = running_state(layout)
    if state is None:
        output.fail(
            f"Reelmesh does not run from {layout.data}: start it with `reelmesh up`, or give --url.", EXIT_UNREACHABLE
        )
    return state.url


def client(data: Path | None, url: str | None, output: Output) -> Client:
    """A client for the mesh that was asked for."""
    from tools.reelmesh_sdk import Client  # gRPC costs a quarter of a second, which `--help` need not pay

    layout = layout_of(data)
    address = edge_url(layout, url, output)
    key = operator_key(layout)
    if key is None:
        output.fail(
            "There is no API key: set REELMESH_API_KEY (the operator's is printed by `reelmesh key`).", EXIT_USAGE
        )
    return Client(address, key)
