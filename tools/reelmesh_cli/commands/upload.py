"""`reelmesh upload`."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, cast

import typer

from tools.reelmesh_cli.connection import DataOption, UrlOption, client
from tools.reelmesh_cli.output import JsonOption, Output, run_call
from tools.reelmesh_cli.pipeline_view import PipelineView

if TYPE_CHECKING:
    from reelmesh.assets.v1.assets_pb2 import Asset
    from reelmesh.upload.v1.upload_pb2 import Upload, UploadPurpose, Watermarking

    from tools.reelmesh_sdk import Client

FileArgument = Annotated[Path, typer.Argument(exists=True, dir_okay=False, readable=True, help="The master file.")]


class Watermark(StrEnum):
    """How a film is watermarked."""

    OFF = "off"
    STANDARD = "standard"
    STRONG = "strong"


_WATERMARKING: Final = {None: 0, Watermark.OFF: 1, Watermark.STANDARD: 2, Watermark.STRONG: 3}
"""Numbers of the contract's `Watermarking`, which need not be loaded for them."""

_EVIDENCE: Final = 2
"""Of its `UploadPurpose`."""

WatermarkOption = Annotated[
    Watermark | None,
    typer.Option(
        "--watermark",
        help="Mark the film so that a leaked copy tells whose it was; the server decides where this is not given.",
    ),
]
EvidenceOption = Annotated[
    bool, typer.Option("--evidence", help="It is somebody's copy of a title, to be looked at: keep it, never play it.")
]
TitleOption = Annotated[str, typer.Option("--title", help="Title of the asset; the file's name stands in.")]


def upload(
    file: FileArgument,
    *,
    title: TitleOption = "",
    wait: Annotated[bool, typer.Option("--wait", help="Stay until it can be played.")] = False,
    watermark: WatermarkOption = None,
    evidence: EvidenceOption = False,
    data: DataOption = None,
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Sends a master file. Run it again after a break: it goes on where it stopped."""
    output = Output(as_json)
    reelmesh = client(data, url, output)

    async def send() -> tuple[Upload, Asset | None]:
        async with reelmesh:
            return await send_and_follow(reelmesh, output, file, title, wait, watermark=watermark, evidence=evidence)

    sent, asset = run_call(output, send())
    package = asset.package_id if asset is not None else ""
    output.result(
        upload_id=sent.upload_id,
        asset_id=sent.asset_id,
        package_id=package or None,
        size_bytes=sent.size_bytes,
        sha256=sent.sha256,
        state="ready" if package else "kept" if evidence and asset is not None else "processing",
    )
    if evidence:
        output.say(
            f"{sent.asset_id} is kept as evidence{'' if asset else ' once it has passed the checks of uploads'}."
        )
    elif asset is None:
        output.say(
            f"{sent.asset_id} is being processed. Watch it with `reelmesh play {sent.asset_id}` once it is ready."
        )
    else:
        output.say(f"{sent.asset_id} is ready: `reelmesh play {sent.asset_id}`")


async def send_and_follow(
    reelmesh: Client,
    output: Output,
    file: Path,
    title: str,
    wait: bool,
    *,
    watermark: Watermark | None = None,
    evidence: bool = False,
) -> tuple[Upload, Asset | None]:
    """Uploads with a bar for the bytes and, if `wait`, one for each stage until the asset can be played."""
    with PipelineView(output, file.name) as view:
        number = cast("Watermarking.ValueType", _WATERMARKING[watermark])
        purpose = cast("UploadPurpose.ValueType", _EVIDENCE if evidence else 0)
        sent = await reelmesh.upload_file(file, title, view.bytes_sent, watermarking=number, purpose=purpose)
        view.upload_committed(sent.size_bytes)
        if not wait:
            return sent, None
        return sent, await reelmesh.wait_for_asset(sent.asset_id, view.asset_changed)
