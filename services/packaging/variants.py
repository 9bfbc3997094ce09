"""The second variant of a watermarked film's pictures, and where both lie so that only the edge can tell them apart.

After ETSI TS 104 002: the manifests know of one variant; both variants' segments have the same names, numbers and lengths, the same init
segment and keys. They lie in folders whose names begin with a dot, which no lane of the edge lets anybody ask for by name:
`.a/video/1080p/7.m4s` and `.b/video/1080p/7.m4s` for what a player asks for as `video/1080p/7.m4s`, where there is nothing itself.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from services.packaging import pace
from services.packaging.boxes import read_init, sample_description
from services.packaging.tracks import ContentKey, Measured, PackageRequest, PackageResult, Scheme, init_name
from services.packaging.verification import Unsound

FOLDERS: Final = (".a", ".b")
"""Of variants a and b, below the package; `services.policy.judge` and `services/policy/admission.lua` lead there."""
_SCRATCH: Final = ".other"


def other(request: PackageRequest) -> PackageRequest:
    """The request for variant b of the pictures alone, once variant a is packaged: with the very same keys and vectors."""
    periods = [_with_vectors(request, keys, period) for period, keys in enumerate(request.key_periods, start=1)]
    return replace(
        request,
        output=request.output / _SCRATCH,
        video=tuple(replace(track, path=track.other or track.path, other=None) for track in request.video),
        audio=(),
        text=(),
        thumbnails=None,
        poster=None,
        keys=periods[0],
        later_keys=tuple(periods[1:]),
        has_iframes=False,
    )


def _with_vectors(request: PackageRequest, keys: Mapping[str, ContentKey], period: int) -> dict[str, ContentKey]:
    """The keys with the initialization vectors that the packager chose where nobody else had."""
    found = dict(keys)
    for track in request.video if request.scheme is Scheme.CBCS else ():
        init = request.output / "video" / track.name / init_name(period)
        if found[track.label].iv is None and init.exists():
            found[track.label] = replace(found[track.label], iv=read_init(init).constant_iv)
    return found


def check_init_segments(request: PackageRequest) -> None:
    """Makes sure that the init segments of variant a open variant b as well.

    Raises:
        Unsound: they do not.
    """
    for track in request.video:
        folder = Path("video") / track.name
        for made in sorted((request.output / _SCRATCH / folder).glob("*.mp4")):
            if sample_description(made) != sample_description(request.output / folder / made.name):
                raise Unsound(f"the variants of {track.name} do not share an init segment")


def both(tracks: Sequence[Measured], others: Sequence[Measured]) -> tuple[Measured, ...]:
    """What a manifest has to say of pictures of which a player gets either variant: the larger bit rates."""
    by_folder = {track.folder: track for track in others}
    return tuple(_larger(track, by_folder.get(track.folder, track)) for track in tracks)


def _larger(one: Measured, another: Measured) -> Measured:
    return replace(
        one,
        peak_bits=max(one.peak_bits, another.peak_bits),
        average_bits=max(one.average_bits, another.average_bits),
    )


def put_away(request: PackageRequest, result: PackageResult, *, paced: bool) -> PackageResult:
    """Moves both variants of all segments to where the edge looks for them. Nothing about the files tells which was made first.

    Args:
        request: what was packaged.
        result: the finished set, with variant a where players ask for it.
        paced: whether each segment gets a sidecar by which the edges of others choose, see `pace`.
    """
    output, moment = request.output, (request.output / result.dash_path).stat().st_mtime
    for name, root in zip(FOLDERS, (output, output / _SCRATCH), strict=True):
        for track in request.video:
            folder = Path("video") / track.name
            target = output / name / folder
            target.mkdir(parents=True)
            for segment in (root / folder).glob("*.m4s"):
                moved = Path(shutil.move(segment, target / segment.name))
                if paced:
                    pace.write_sidecar(moved, pace.position_of(int(segment.stem)))
                os.utime(moved, (moment, moment))
    shutil.rmtree(output / _SCRATCH)
    paths = sorted(path for path in output.rglob("*") if path.is_file())
    return replace(
        result,
        size=sum(path.stat().st_size for path in paths),
        files=tuple(path.relative_to(output).as_posix() for path in paths),
    )
