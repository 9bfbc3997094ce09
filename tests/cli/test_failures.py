"""What commands say of an asset that does not come to be played."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
import typer
from reelmesh.assets.v1 import assets_pb2

from services.kit.ids import new_id
from tools.reelmesh_cli.output import Output, run_call
from tools.reelmesh_sdk import AssetFailed


@pytest.mark.parametrize(
    ("state", "words"),
    [(assets_pb2.ASSET_STATE_HELD, "held for review"), (assets_pb2.ASSET_STATE_DELETED, "deleted")],
)
def test_the_command_says_how_the_asset_stands(
    state: assets_pb2.AssetState.ValueType, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    async def call() -> Any:
        raise AssetFailed(assets_pb2.Asset(asset_id=new_id("ast"), state=state))

    with pytest.raises((SystemExit, typer.Exit)):
        run_call(Output(as_json=True), call())
    said = capsys.readouterr()
    assert words in json.loads(io.StringIO(said.out + said.err).read())["error"]["message"]
