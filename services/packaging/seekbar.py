"""Thumbnails for the seek bar: sprite sheets with a WebVTT index for browsers and a playlist for HLS."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from services.packaging import captions, manifest, playlists
from services.packaging.tracks import Thumbnails
from services.packaging.verification import Unsound

PATH: Final = "thumbnails/index.vtt"


def add(output: Path, thumbnails: Thumbnails, seconds: float) -> manifest.Sheets:
    """Copies the sprite sheets, and writes their WebVTT index and their HLS playlist."""
    tiles = thumbnails.columns * thumbnails.rows
    sheet_seconds = tiles * thumbnails.interval
    if len(thumbnails.sheets) * sheet_seconds + thumbnails.interval < seconds:
        raise Unsound(f"{len(thumbnails.sheets)} sheets of {sheet_seconds:g} s do not cover a film of {seconds:.3f} s")
    folder = output / "thumbnails"
    folder.mkdir()
    names = [f"{number}.jpg" for number in range(1, len(thumbnails.sheets) + 1)]
    for sheet, name in zip(thumbnails.sheets, names, strict=True):
        shutil.copyfile(sheet, folder / name)
    (output / PATH).write_text(_index(thumbnails, names, seconds))
    (folder / "main.m3u8").write_text(playlists.image_playlist(thumbnails, names, seconds))
    bits = round(max(sheet.stat().st_size for sheet in thumbnails.sheets) * 8 / sheet_seconds)
    return manifest.Sheets(thumbnails, "thumbnails/$Number$.jpg", max(bits, 1))


def _index(thumbnails: Thumbnails, names: Sequence[str], seconds: float) -> str:
    """WebVTT whose cues name a tile by media fragment (`#xywh=`), the form that players' seek bars read."""
    cues = ["WEBVTT"]
    tiles = thumbnails.columns * thumbnails.rows
    for index in range(tiles * len(names)):
        begin = index * thumbnails.interval
        if begin >= seconds:
            break
        row, column = divmod(index % tiles, thumbnails.columns)
        x, y = column * thumbnails.tile_width, row * thumbnails.tile_height
        place = f"{names[index // tiles]}#xywh={x},{y},{thumbnails.tile_width},{thumbnails.tile_height}"
        end = min(begin + thumbnails.interval, seconds)
        cues.append(f"{captions.clock(begin)} --> {captions.clock(end)}\n{place}")
    return "\n\n".join(cues) + "\n"
