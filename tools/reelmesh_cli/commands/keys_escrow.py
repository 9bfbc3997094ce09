"""`reelmesh keys escrow` and `reelmesh keys recover`. Shares are made and brought together here, and never leave this process: the mesh gets a
public key, and later the key-encryption keys that it lost."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tools.reelmesh_cli.connection import DataOption, UrlOption
from tools.reelmesh_cli.output import EXIT_FAILED, EXIT_USAGE, JsonOption, Output
from tools.reelmesh_cli.people import as_json, conversation, every

if TYPE_CHECKING:
    from reelmesh.drm.v1.keys_service_pb2 import CreateEscrowResponse, EscrowedKey, GetEscrowResponse, RestoredKey

    from services.drm.escrow.shares import OpenEscrow
    from tools.reelmesh_sdk import Client

_AT_A_TIME = 200
_SPELT_OUT = 4


def escrow(
    *,
    shares: Annotated[int, typer.Option("--shares", min=2, max=16, help="How many shares to make.")] = 5,
    needed: Annotated[int, typer.Option("--needed", min=2, max=16, help="How many of them open the escrow.")] = 3,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask whether this is meant.")] = False,
    data: DataOption = None,
    url: UrlOption = None,
    json: JsonOption = False,
) -> None:
    """Makes an escrow and shows its shares, this once. Shares of an earlier one open nothing any more."""
    output = Output(json)
    if needed > shares:
        output.fail(f"{needed} shares can never come together when there are {shares}.", EXIT_USAGE)
    if not yes and not json and not typer.confirm("Show new shares here? Those of an earlier escrow stop working."):
        raise typer.Exit(EXIT_FAILED)
    from services.drm.escrow.shares import new_escrow

    made = new_escrow(needed, shares)

    async def talk(reelmesh: Client) -> CreateEscrowResponse:
        from reelmesh.drm.v1.keys_service_pb2 import CreateEscrowRequest

        request = CreateEscrowRequest(
            request_id=str(uuid.uuid4()),
            public_key=made.public_key,
            sealed_private_key=made.sealed_private_key,
            threshold=needed,
            share_count=shares,
        )
        return await reelmesh.call(reelmesh.keys.CreateEscrow, request)

    done = conversation(output, data, url, talk)
    output.result(escrow=as_json(done.escrow), escrowed=done.escrowed, shares=list(made.shares))
    output.say(f"{done.escrowed} key-encryption keys are kept in {done.escrow.escrow_id}, and every later one will be.")
    for number, share in enumerate(made.shares, 1):
        words = share.split()
        output.say(f"\n[bold]Share {number} of {shares}[/]")
        for start in range(0, len(words), _SPELT_OUT):
            part = words[start : start + _SPELT_OUT]
            output.say("  " + "  ".join(f"[dim]{start + place:>2}[/] {word:<9}" for place, word in enumerate(part, 1)))
    output.say(
        f"\nThey are shown this once and kept nowhere. Give each to another person, on paper; any {needed} of them open everything.\n"
        "Then rehearse: [bold]reelmesh keys recover --rehearse[/]"
    )


def recover(
    *,
    share_files: Annotated[
        list[Path] | None,
        typer.Option(
            "--share-file", help="File with one share; once for each. Without: they are asked for.", show_default=False
        ),
    ] = None,
    rehearse: Annotated[bool, typer.Option("--rehearse", help="Check the shares, and change nothing.")] = False,
    data: DataOption = None,
    url: UrlOption = None,
    json: JsonOption = False,
) -> None:
    """Brings keys back whose root key is lost, by the shares of the escrow."""
    output = Output(json)

    async def find(reelmesh: Client) -> tuple[GetEscrowResponse, list[EscrowedKey]]:
        from reelmesh.drm.v1.keys_service_pb2 import GetEscrowRequest, ListEscrowedKeysRequest

        state = await reelmesh.call(reelmesh.keys.GetEscrow, GetEscrowRequest())
        return state, await every(reelmesh, reelmesh.keys.ListEscrowedKeys, ListEscrowedKeysRequest(), "keys")

    state, held = conversation(output, data, url, find)
    told = [file.read_text(encoding="utf-8") for file in share_files or ()] or _asked(output, state.escrow.threshold)
    opened = _opened(output, told, state, held)
    if rehearse:
        output.result(rehearsed=True, opened=len(opened), keks=state.keks, locked=state.locked_keks, restored=0)
        output.say(
            f"The shares are good: {len(opened)} of {state.keks} key-encryption keys came out of the escrow. Nothing was changed."
        )
        if len(opened) < state.keks:
            output.fail(f"{state.keks - len(opened)} are not in the escrow; `reelmesh logs drm` says why.", EXIT_FAILED)
        return

    async def give_back(reelmesh: Client) -> int:
        from reelmesh.drm.v1.keys_service_pb2 import RestoreKeysRequest

        done = 0
        for start in range(0, len(opened), _AT_A_TIME):
            request = RestoreKeysRequest(keys=opened[start : start + _AT_A_TIME])
            done += (await reelmesh.call(reelmesh.keys.RestoreKeys, request)).restored
        return done

    restored = conversation(output, data, url, give_back)
    output.result(rehearsed=False, opened=len(opened), keks=state.keks, locked=state.locked_keks, restored=restored)
    output.say(
        f"{restored} key-encryption keys are wrapped by the root key of today; {len(opened) - restored} opened before."
    )


def _asked(output: Output, threshold: int) -> list[str]:
    """Shares, typed one after the other. They are not shown, as somebody may look over a shoulder."""
    if output.as_json:
        output.fail("Name the shares' files by --share-file, once for each.", EXIT_USAGE)
    return [typer.prompt(f"Share {number} of {threshold}", hide_input=True) for number in range(1, threshold + 1)]


def _opened(
    output: Output, told: Sequence[str], state: GetEscrowResponse, held: Sequence[EscrowedKey]
) -> list[RestoredKey]:
    from reelmesh.drm.v1.keys_service_pb2 import RestoredKey

    from services.drm.escrow.shares import OpenEscrow, WrongShares

    try:
        box: OpenEscrow = OpenEscrow(
            told, state.escrow.public_key, state.escrow.sealed_private_key, state.escrow.threshold
        )
        return [RestoredKey(kek_id=one.kek_id, key=box.key(one.kek_id, one.encrypted, one.check_value)) for one in held]
    except WrongShares as error:
        output.fail(f"{error}.", EXIT_FAILED)
