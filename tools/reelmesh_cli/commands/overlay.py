"""`reelmesh overlay …`: what lies over the picture, and copies for review that carry it for good."""

from __future__ import annotations

import os
import uuid
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.progress import Progress

from tools.reelmesh_cli.connection import DataOption, UrlOption
from tools.reelmesh_cli.output import JsonOption, Output
from tools.reelmesh_cli.people import as_json, conversation, group, show

if TYPE_CHECKING:
    from reelmesh.protection.v1.overlays_pb2 import OverlayTemplate, ReviewCopy

    from tools.reelmesh_sdk import Client

app = group("The overlay with the viewer's name, and copies for review that carry it.")


class Motion(Enum):
    """How an overlay moves."""

    DRIFT = "drift"
    JUMP = "jump"


@app.command("show")
def show_overlay(data: DataOption = None, url: UrlOption = None, json: JsonOption = False) -> None:
    """Shows what lies over the picture."""
    output = Output(json)

    async def talk(reelmesh: Client) -> OverlayTemplate:
        from reelmesh.protection.v1.overlays_service_pb2 import GetOverlayRequest

        return (await reelmesh.call(reelmesh.overlays.GetOverlay, GetOverlayRequest())).template

    _shown(output, conversation(output, data, url, talk))


@app.command("set")
def set_overlay(
    text: Annotated[
        str,
        typer.Argument(
            help="Such as '{viewer_hash} {session} {time}'. Names: viewer, viewer_hash, address, session, time."
        ),
    ],
    *,
    opacity: Annotated[float, typer.Option("--opacity", min=0.05, max=1.0)] = 0.35,
    size: Annotated[float, typer.Option("--size", min=0.01, max=0.2, help="Share of the picture's height.")] = 0.03,
    motion: Annotated[Motion, typer.Option("--motion")] = Motion.DRIFT,
    seconds: Annotated[int, typer.Option("--seconds", min=1, max=600, help="From place to place.")] = 20,
    plain: Annotated[bool, typer.Option("--plain", help="White with a dark edge, whatever is behind.")] = False,
    data: DataOption = None,
    url: UrlOption = None,
    json: JsonOption = False,
) -> None:
    """Sets the overlay and shows it in every playback that is opened from now on."""
    from google.protobuf.duration_pb2 import Duration
    from reelmesh.protection.v1 import overlays_pb2

    template = overlays_pb2.OverlayTemplate(
        enabled=True,
        text=text,
        opacity=opacity,
        size=size,
        motion=overlays_pb2.OverlayMotion.Value(f"OVERLAY_MOTION_{motion.name}"),
        interval=Duration(seconds=seconds),
        contrast_aware=not plain,
    )
    output = Output(json)
    _shown(output, conversation(output, data, url, lambda reelmesh: _set(reelmesh, template)))


@app.command()
def off(data: DataOption = None, url: UrlOption = None, json: JsonOption = False) -> None:
    """Shows no overlay from now on. What it looked like is kept."""
    output = Output(json)

    async def talk(reelmesh: Client) -> OverlayTemplate:
        from reelmesh.protection.v1.overlays_service_pb2 import GetOverlayRequest

        template = (await reelmesh.call(reelmesh.overlays.GetOverlay, GetOverlayRequest())).template
        template.enabled = False
        return await _set(reelmesh, template)

    _shown(output, conversation(output, data, url, talk))


@app.command("review-copy")
def review_copy(
    asset: Annotated[str, typer.Argument(metavar="ASSET", help="The film, ast_…")],
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Where to write the MP4. It must not be there.")],
    *,
    recipient: Annotated[str, typer.Option("--for", help="Whom it is for; stands in the picture.")],
    data: DataOption = None,
    url: UrlOption = None,
    json: JsonOption = False,
) -> None:
    """Makes a copy for one person to review, with the overlay burned into the picture, and fetches it."""
    output = Output(json)

    async def talk(reelmesh: Client) -> ReviewCopy:
        from reelmesh.protection.v1.overlays_service_pb2 import CreateReviewCopyRequest

        request = CreateReviewCopyRequest(request_id=str(uuid.uuid4()), asset_id=asset, recipient=recipient)
        review_copy_id = (await reelmesh.call(reelmesh.overlays.CreateReviewCopy, request)).review_copy.review_copy_id
        made = await _watched(output, reelmesh, review_copy_id)
        if made.failure_message:
            output.fail(made.failure_message, review_copy_id=made.review_copy_id)
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as out:
            async for part in reelmesh.review_copy_file(made.review_copy_id):
                out.write(part)
        return made

    made = conversation(output, data, url, talk)
    output.result(file=str(file), review_copy=as_json(made))
    output.say(f"[green]✓[/] {file}: {made.size_bytes} bytes.")


async def _watched(output: Output, reelmesh: Client, review_copy_id: str) -> ReviewCopy:
    """The copy once it ended, with a bar until then."""
    from reelmesh.protection.v1.overlays_pb2 import ReviewCopy

    latest = ReviewCopy(review_copy_id=review_copy_id)
    with Progress(console=output.people, disable=not output.live) as progress:
        bar = progress.add_task("burn in", total=1.0)
        async for copy in reelmesh.watch_review_copy(review_copy_id):
            progress.update(bar, completed=copy.fraction)
            latest = copy
    return latest


async def _set(reelmesh: Client, template: OverlayTemplate) -> OverlayTemplate:
    from reelmesh.protection.v1.overlays_service_pb2 import SetOverlayRequest

    return (await reelmesh.call(reelmesh.overlays.SetOverlay, SetOverlayRequest(template=template))).template


def _word(value: Any) -> str:
    return ("yes" if value else "no") if isinstance(value, bool) else str(value)


def _shown(output: Output, template: OverlayTemplate) -> None:
    facts: dict[str, Any] = as_json(template)
    output.result(overlay=facts)
    motion = str(facts.get("motion", "")).removeprefix("OVERLAY_MOTION_").lower()
    told = {"enabled": template.enabled} | facts | {"motion": motion, "contrast_aware": template.contrast_aware}
    show(output, ("overlay", ""), [(name.replace("_", " "), _word(value)) for name, value in told.items()], "")
