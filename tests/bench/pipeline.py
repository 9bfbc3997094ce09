"""The pipeline: from the first byte of an upload to a film that can be played, as a multiple of its length."""

from __future__ import annotations

import shutil
import tempfile
import time
from pathlib import Path
from typing import Final

from reelmesh.assets.v1 import assets_pb2

from tests.bench import inputs
from tests.bench.harness import SCRATCH, Measurement, median
from tests.support.mesh import Mesh, running_mesh
from tools.reelmesh_sdk import Client

ROUNDS: Final = 3


async def measure() -> list[Measurement]:
    """Takes about three minutes on two cores."""
    master = inputs.film()
    seen = []
    with running_mesh() as mesh, tempfile.TemporaryDirectory(prefix="pipeline-", dir=SCRATCH) as folder:
        async with mesh.client() as client:
            for number in range(ROUNDS):
                copy = Path(folder) / f"{number}.mp4"
                shutil.copyfile(master, copy)
                seen.append(await _seconds(mesh, client, copy))
    took = median(seen)
    length = inputs.seconds(master)
    return [
        Measurement(
            "pipeline.multiple_of_duration",
            took / length,
            "ratio",
            "the film's own length",
            f"{length:.0f} s of 1080p with sound, by gRPC, to a ladder of six rungs, stills and cbcs package, one film at a "
            f"time, median of {ROUNDS}: {', '.join(f'{one:.1f}' for one in seen)} s",
        )
    ]


async def _seconds(mesh: Mesh, client: Client, master: Path) -> float:
    started = time.perf_counter()
    upload = await client.upload_file(master)
    asset = await client.wait_for_asset(upload.asset_id)
    took = time.perf_counter() - started
    if asset.state != assets_pb2.ASSET_STATE_READY:
        raise AssertionError(asset)
    return took
