"""`reelmesh play` and `reelmesh revoke`."""

from __future__ import annotations

import contextlib
import os
import webbrowser
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from tools.reelmesh_cli.connection import DataOption, UrlOption, client
from tools.reelmesh_cli.output import JsonOption, Output, run_call

if TYPE_CHECKING:
    from reelmesh.policy.v1.policy_service_pb2 import CreatePlaybackResponse

    from tools.reelmesh_sdk import Client

OpenOption = Annotated[bool, typer.Option("--open/--no-open", help="Open the watch page in a browser.")]


def play(
    asset: Annotated[str, typer.Argument(help="Id of the asset, ast_…")],
    *,
    viewer: Annotated[str, typer.Option("--viewer", help="Who watches, in your own words.")] = "",
    open_page: OpenOption = True,
    data: DataOption = None,
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Opens a playback session, and its watch page."""
    output = Output(as_json)

    async def create(reelmesh: Client) -> CreatePlaybackResponse:
        async with reelmesh:
            return await reelmesh.create_playback(asset, viewer)

    show_playback(output, run_call(output, create(client(data, url, output))), open_page)


def show_playback(output: Output, created: CreatePlaybackResponse, open_page: bool) -> None:
    """Prints what a player needs, and opens the watch page where there is a screen to open it on."""
    playback = created.playback
    output.result(
        asset_id=playback.asset_id,
        package_id=playback.package_id,
        session_id=playback.session_id,
        hls_url=playback.hls_url,
        dash_url=playback.dash_url,
        licence_url=playback.licence_url,
        watch_url=created.watch_url,
    )
    output.say(f"[bold]{escape(playback.title or playback.asset_id)}[/]  [dim]{playback.asset_id}[/]")
    output.say(f"  [dim]watch  [/]  {created.watch_url}  [dim]works once, within five minutes[/]")
    output.say(f"  [dim]session[/]  {playback.session_id}  [dim]ends with[/] reelmesh revoke {playback.session_id}")
    output.say("  [dim]For another player: --json has the addresses of HLS, DASH and the licence server.[/]")
    if open_page and output.live and any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY")):
        with contextlib.suppress(webbrowser.Error):
            webbrowser.open(created.watch_url)


def revoke(
    session: Annotated[str, typer.Argument(help="Id of the session, pbs_…")],
    comment: Annotated[str, typer.Option("--comment", help="Why, for the record.")] = "",
    data: DataOption = None,
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Ends a playback session at once."""
    output = Output(as_json)

    async def end(reelmesh: Client) -> str:
        async with reelmesh:
            return (await reelmesh.revoke(session, comment)).session_id

    ended = run_call(output, end(client(data, url, output)))
    output.result(session_id=ended, state="revoked")
    output.say(f"Session {ended} is revoked: its next request is refused.")
