"""`reelmesh demo`: from nothing to a film that plays, in one command."""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tools.reelmesh_cli.commands.playback import OpenOption, show_playback
from tools.reelmesh_cli.commands.upload import send_and_follow
from tools.reelmesh_cli.connection import DataOption, UrlOption, client
from tools.reelmesh_cli.output import JsonOption, Output, run_call

if TYPE_CHECKING:
    from reelmesh.policy.v1.policy_service_pb2 import CreatePlaybackResponse

    from tools.reelmesh_sdk import Client

FRAME_RATE = 25
WIDTH, HEIGHT = 1280, 720


def demo(
    file: Annotated[Path | None, typer.Argument(exists=True, dir_okay=False, help="A clip of yours.")] = None,
    *,
    seconds: Annotated[int, typer.Option("--seconds", min=1, max=600, help="Length of the clip that is made.")] = 12,
    open_page: OpenOption = True,
    data: DataOption = None,
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Makes or takes a clip, uploads it, waits, and opens its watch page."""
    output = Output(as_json)
    reelmesh = client(data, url, output)
    with tempfile.TemporaryDirectory(prefix="reelmesh-demo-") as scratch:
        clip = file or make_clip(Path(scratch) / "demo.mp4", seconds, output)
        created = run_call(output, _show(reelmesh, output, clip, "" if file else "Reelmesh demo"))
    show_playback(output, created, open_page)


async def _show(reelmesh: Client, output: Output, clip: Path, title: str) -> CreatePlaybackResponse:
    async with reelmesh:
        sent, _ = await send_and_follow(reelmesh, output, clip, title, wait=True)
        return await reelmesh.create_playback(sent.asset_id, "demo")


def make_clip(path: Path, seconds: int, output: Output) -> Path:
    """A test picture with its frame number burned in, and a tone."""
    import imageio_ffmpeg
    from PIL import ImageFont

    # Pillow carries a font; a fresh machine may have none.
    carried = ImageFont.load_default(size=96)
    font = path.with_name("counter.ttf")
    font.write_bytes(getattr(carried, "font_bytes", b""))
    box = "box=1:boxborderw=16:boxcolor=black:x=(w-tw)/2:y=h-160"
    counter = f"drawtext=fontfile={font}:text='%{{frame_num}}':fontsize=96:fontcolor=white:{box}"
    command = [
        imageio_ffmpeg.get_ffmpeg_exe(),
        *("-hide_banner", "-loglevel", "error", "-y"),
        *("-f", "lavfi", "-i", f"testsrc2=size={WIDTH}x{HEIGHT}:rate={FRAME_RATE}:duration={seconds}"),
        *("-f", "lavfi", "-i", f"sine=frequency=440:sample_rate=48000:duration={seconds}"),
        *("-vf", counter, "-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p"),
        *("-c:a", "aac", "-b:a", "96k", str(path)),
    ]
    made = subprocess.run(command, capture_output=True, text=True, check=False)
    if made.returncode != 0:
        output.fail(f"ffmpeg could not make a clip: {made.stderr.strip()[-500:]}")
    output.say(f"Made a clip of {seconds} s, {WIDTH}x{HEIGHT}.")
    return path
