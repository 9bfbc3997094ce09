"""`reelmesh detect`: whose copy a leaked file is."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from tools.reelmesh_cli.connection import DataOption, layout_of
from tools.reelmesh_cli.output import EXIT_FAILED, EXIT_UNREACHABLE, JsonOption, Output

if TYPE_CHECKING:
    from services.kit.settings import ProcessSettings
    from services.protection.detection.detecting import Detection
    from tools.reelmesh_cli.supervisor.layout import Layout

FileArgument = Annotated[Path, typer.Argument(exists=True, dir_okay=False, readable=True, help="The suspicious file.")]
AssetOption = Annotated[
    str, typer.Option("--asset", help="Title that it shows; without, it is found by its fingerprint.")
]
PictureOption = Annotated[
    Path | None, typer.Option("--picture", dir_okay=False, help="Where to write the evidence as a PNG to look at.")
]


def detect(
    file: FileArgument,
    *,
    asset: AssetOption = "",
    picture: PictureOption = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Tells from whose playback session a copy of a watermarked title comes. It only reads.

    It looks at the database, the files and the secret of the mesh of --data. Somebody is accused only when the chance that anybody innocent
    would be is below one in a million; else it says that there is not enough evidence.
    """
    output = Output(as_json)
    detection = _detection(output, layout_of(data), file, asset)
    if picture is not None:
        from services.protection.detection.picture import drawn

        picture.write_bytes(drawn(detection))
    output.result(**detection.as_dict())
    for line in _told(detection):
        output.say(line)


def _detection(output: Output, layout: Layout, file: Path, asset: str) -> Detection:
    from sqlalchemy.exc import SQLAlchemyError

    from services.kit.errors import Refusal

    try:
        return asyncio.run(_detected(output, _settings(layout), file, asset))
    except Refusal as refusal:
        output.fail(refusal.message, EXIT_FAILED)
    except (OSError, SQLAlchemyError) as error:
        output.fail(f"The database cannot be read: {error}. `reelmesh status` tells whether it runs.", EXIT_UNREACHABLE)


async def _detected(output: Output, settings: ProcessSettings, file: Path, asset: str) -> Detection:
    from services.kit.codewords import KEY_FILE
    from services.kit.database import Database
    from services.kit.storage import ObjectStore
    from services.protection import store
    from services.protection.detection.detecting import Detector
    from services.protection.fingerprints.index import Index
    from services.protection.fingerprints.keeping import library_folder
    from services.protection.fingerprints.naming import titles_shown

    database = Database.of("protection", settings)

    async def viewings(asset_id: str) -> list[store.Viewing]:
        async with database.transaction() as tx:
            return list(await store.viewings(tx, asset_id))

    try:
        async with database.transaction() as tx:
            titles = await store.marked_titles(tx, asset)
        if not titles:
            output.fail(
                "There is no such watermarked title; upload films with --watermark standard to have them marked."
            )
        objects = ObjectStore.at(settings.storage_location())
        if not asset:
            index = Index(library_folder(settings.data_dir))
            titles = await titles_shown(file, titles, database, objects, index)
        return await Detector(settings.secret(KEY_FILE), objects, viewings).detect(file, titles)
    finally:
        await database.close()


def _settings(layout: Layout) -> ProcessSettings:
    from services.kit.settings import ProcessSettings

    if "REELMESH_DATABASE_HOST" in os.environ:
        return ProcessSettings()
    return ProcessSettings(database_host=str(layout.postgres_socket), secrets_dir=layout.secrets, data_dir=layout.data)


def _told(detection: Detection) -> list[str]:
    """What people read."""
    match str(detection.outcome):
        case "ACCUSED":
            lines = [f"[green]✓[/] It comes from {len(detection.suspects)} of {detection.sessions} sessions:"]
            for one in detection.suspects:
                viewer = f", viewer {escape(one.viewer_id)}" if one.viewer_id else ""
                lines.append(
                    f"  {one.session_id}{viewer}, opened {one.create_time:%Y-%m-%d %H:%M} UTC; "
                    f"wrong with a chance of at most {one.false_positive:.1g}"
                )
            return lines
        case "NOT_ENOUGH_EVIDENCE":
            return ["The title was found, but the copy is too short or too damaged to accuse anybody."]
        case "NOBODY_ACCUSED":
            return [f"The title was found, but none of {detection.sessions} sessions is its source beyond doubt."]
        case _:
            return ["It shows none of the watermarked titles."]
