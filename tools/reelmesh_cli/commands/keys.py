"""`reelmesh keys …`: what lies above the content keys. For escrow and recovery see `keys_escrow`."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Final

import typer
from rich.markup import escape

from tools.reelmesh_cli.connection import DataOption, UrlOption
from tools.reelmesh_cli.output import EXIT_FAILED, EXIT_USAGE, JsonOption, Output
from tools.reelmesh_cli.people import as_json, conversation, day, every, group, show
from tools.reelmesh_cli.rotation_view import RotationView

if TYPE_CHECKING:
    from reelmesh.drm.v1.keys_service_pb2 import (
        KeyUse,
        ListKeyEncryptionKeysResponse,
        RotateRootKeyResponse,
        Rotation,
        RotationTitle,
    )

    from tools.reelmesh_sdk import Client

_LOOK: Final = 0.25
NoWaitOption = Annotated[bool, typer.Option("--no-wait", help="Return at once; it goes on by itself.")]

app = group("Keys above the content keys: rotation, emergency, escrow, and who used which.")


@app.command("list")
def list_keys(data: DataOption = None, url: UrlOption = None, json: JsonOption = False) -> None:
    """Lists the organisation's key-encryption keys, newest first."""
    output = Output(json)

    async def talk(reelmesh: Client) -> ListKeyEncryptionKeysResponse:
        from reelmesh.drm.v1.keys_service_pb2 import ListKeyEncryptionKeysRequest

        return await reelmesh.call(reelmesh.keys.ListKeyEncryptionKeys, ListKeyEncryptionKeysRequest(page_size=200))

    found = conversation(output, data, url, talk)
    output.result(**as_json(found))
    rows = [
        (
            str(key.generation),
            str(key.content_keys),
            day(key.create_time),
            _fate(day(key.retire_time), day(key.destroy_time)),
            "yes" if key.escrowed else "no",
            key.root_id,
            key.kek_id,
        )
        for key in found.keys
    ]
    headings = ("nr", "content keys", "made (UTC)", "state", "in escrow", "wrapped by", "id")
    show(output, headings, rows, "There is none yet: the first one comes with the first package.")
    output.say(f"[dim]root key {found.root_id}[/]")
    if found.HasField("rotate_time"):
        output.say(f"[dim]the next rotation is due {day(found.rotate_time)} UTC[/]")


@app.command()
def rotate(
    *,
    root: Annotated[bool, typer.Option("--root", help="The root key instead, for all organisations.")] = False,
    reason: Annotated[str, typer.Option("--reason", help="Why, for the record.")] = "",
    no_wait: NoWaitOption = False,
    data: DataOption = None,
    url: UrlOption = None,
    json: JsonOption = False,
) -> None:
    """Makes a new key-encryption key and seals all content keys anew under it. Nobody who watches notices."""
    output = Output(json)
    if root:
        _rotate_root(output, data, url)
        return

    async def talk(reelmesh: Client) -> Rotation:
        from reelmesh.drm.v1.keys_service_pb2 import StartRotationRequest

        request = StartRotationRequest(request_id=str(uuid.uuid4()), reason=reason)
        begun = (await reelmesh.call(reelmesh.keys.StartRotation, request)).rotation
        return begun if no_wait else await watched(reelmesh, output, begun)

    rotation = conversation(output, data, url, talk)
    output.result(rotation=as_json(rotation))
    output.say(
        f"{rotation.rotation_id} has begun."
        if no_wait
        else f"{rotation.keys_done} content keys are sealed under {rotation.kek_id}."
    )


@app.command()
def emergency(
    packages: Annotated[
        list[str] | None,
        typer.Argument(metavar="[PACKAGE…]", help="Only these, pkg_…; without: all.", show_default=False),
    ] = None,
    *,
    reason: Annotated[str, typer.Option("--reason", help="What happened, for the record; needed.")] = "",
    stop_at_once: Annotated[
        bool, typer.Option("--stop-at-once", help="Stop what is affected now, not when its successor can be played.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask whether this is meant.")] = False,
    follow: Annotated[str, typer.Option("--follow", metavar="ROTATION", help="Only show how far one is, rot_…")] = "",
    no_wait: NoWaitOption = False,
    data: DataOption = None,
    url: UrlOption = None,
    json: JsonOption = False,
) -> None:
    """Answers a theft of keys: new keys at every level, every package encrypted again, what was licensed before revoked."""
    output = Output(json)
    if not follow:
        if len(reason) < 8:
            output.fail("State what happened by --reason, in 8 characters or more.", EXIT_USAGE)
        what = f"{len(packages)} packages" if packages else "every package of the organisation"
        if not yes and not json and not typer.confirm(f"Encrypt {what} again and revoke what was licensed for it?"):
            raise typer.Exit(EXIT_FAILED)

    async def talk(reelmesh: Client) -> tuple[Rotation, list[RotationTitle]]:
        from reelmesh.drm.v1.keys_service_pb2 import (
            GetRotationRequest,
            ListRotationTitlesRequest,
            StartEmergencyRequest,
            TitleState,
        )

        if follow:
            begun = (await reelmesh.call(reelmesh.keys.GetRotation, GetRotationRequest(rotation_id=follow))).rotation
        else:
            request = StartEmergencyRequest(
                request_id=str(uuid.uuid4()), reason=reason, package_ids=packages or (), stop_at_once=stop_at_once
            )
            begun = (await reelmesh.call(reelmesh.keys.StartEmergency, request)).rotation
        output.say(f"[dim]{begun.rotation_id}; Ctrl-C stops the view, not the work[/]")
        ended = begun if no_wait else await watched(reelmesh, output, begun)
        titles = await every(
            reelmesh,
            reelmesh.keys.ListRotationTitles,
            ListRotationTitlesRequest(rotation_id=begun.rotation_id),
            "titles",
        )
        return ended, [title for title in titles if title.state == TitleState.TITLE_STATE_FAILED]

    rotation, failed = conversation(output, data, url, talk)
    output.result(rotation=as_json(rotation), failed=[as_json(title) for title in failed])
    if no_wait:
        output.say(f"It has begun; `reelmesh keys emergency --follow {rotation.rotation_id}` shows how far it is.")
    else:
        _tell_end(output, rotation, failed)


@app.command()
def audit(
    *,
    key: Annotated[str, typer.Option("--key", help="Only this content key: its id, 32 hex digits.")] = "",
    package: Annotated[str, typer.Option("--package", help="Only keys of this package, pkg_…")] = "",
    actor: Annotated[str, typer.Option("--actor", help="Only by this one, such as `service/packaging` or pbs_…")] = "",
    most: Annotated[int, typer.Option("--most", min=1, max=100_000, help="How many to show, the newest first.")] = 100,
    data: DataOption = None,
    url: UrlOption = None,
    json: JsonOption = False,
) -> None:
    """Shows who used which key when. Never a key."""
    output = Output(json)

    async def talk(reelmesh: Client) -> list[KeyUse]:
        from reelmesh.drm.v1.keys_service_pb2 import ListKeyUsesRequest

        request = ListKeyUsesRequest(key_id=key.replace("-", "").lower(), package_id=package, actor=actor)
        return await every(reelmesh, reelmesh.keys.ListKeyUses, request, "uses", most)

    found = conversation(output, data, url, talk)
    output.result(uses=[as_json(use) for use in found])
    rows = [
        (
            use.use_time.ToDatetime().strftime("%Y-%m-%d %H:%M:%S"),
            _words(use.action),
            use.actor,
            use.package_id or use.kek_id,
            " ".join(use.key_ids[:4]) + (f" and {len(use.key_ids) - 4} more" if len(use.key_ids) > 4 else ""),
            use.detail,
        )
        for use in found
    ]
    show(
        output, ("when (UTC)", "what", "by whom", "of", "content keys", "how"), rows, "Nothing was done with keys yet."
    )


async def watched(reelmesh: Client, output: Output, rotation: Rotation) -> Rotation:
    """Shows how far a rotation is until it is complete."""
    from reelmesh.drm.v1.keys_service_pb2 import GetRotationRequest, RotationState

    request = GetRotationRequest(rotation_id=rotation.rotation_id)
    with RotationView(output) as view:
        while True:
            view.show(rotation)
            if rotation.state == RotationState.ROTATION_STATE_COMPLETED:
                return rotation
            await asyncio.sleep(_LOOK)
            rotation = (await reelmesh.call(reelmesh.keys.GetRotation, request)).rotation


def _tell_end(output: Output, rotation: Rotation, failed: Sequence[RotationTitle]) -> None:
    """Says how an emergency ended, and fails when it left something."""
    output.say(
        f"{rotation.titles_done} of {rotation.titles_total} packages have a successor with new keys; "
        f"{rotation.titles_skipped} needed none."
    )
    for title in failed:
        output.say(f"[red]✗[/] {title.package_id}: {escape(title.failure_message)}")
    if failed and output.as_json:
        raise typer.Exit(EXIT_FAILED)
    if failed:
        named = " ".join(title.package_id for title in failed)
        output.fail(
            f"{len(failed)} packages keep their old keys. Mend what is said above, then: reelmesh keys emergency {named} --reason …"
        )


def _rotate_root(output: Output, data: DataOption, url: UrlOption) -> None:
    async def talk(reelmesh: Client) -> RotateRootKeyResponse:
        from reelmesh.drm.v1.keys_service_pb2 import RotateRootKeyRequest

        return await reelmesh.call(reelmesh.keys.RotateRootKey, RotateRootKeyRequest(request_id=str(uuid.uuid4())))

    done = conversation(output, data, url, talk)
    output.result(**as_json(done))
    output.say(f"{done.rewrapped} key-encryption keys are wrapped by {done.root_id}.")
    for root_id in done.dropped_root_ids:
        output.say(f"[dim]{root_id} was removed: it wraps nothing any more[/]")
    output.say("[dim]Back the root key up anew, if that is how you keep it. Shares of the escrow stay good.[/]")


def _fate(retired: str, destroyed: str) -> str:
    if destroyed:
        return f"destroyed {destroyed}"
    return f"opens only, since {retired}" if retired else "seals"


def _words(action: int) -> str:
    from reelmesh.drm.v1.keys_service_pb2 import KeyAction

    return KeyAction.Name(KeyAction.ValueType(action)).removeprefix("KEY_ACTION_").replace("_", " ").lower()
