"""Reelmesh from Python: upload a file, follow it through the pipeline, let people watch it, stop them.

    async with Client("http://127.0.0.1:8080", api_key) as reelmesh:
        upload = await reelmesh.upload_file(Path("film.mp4"))
        asset = await reelmesh.wait_for_asset(upload.asset_id)
        playback = await reelmesh.create_playback(asset.asset_id)

Every refusal of a server is raised as `Refusal`, with the reason that the contract names.
"""

from services.kit.errors import Refusal
from tools.reelmesh_sdk.client import Client
from tools.reelmesh_sdk.errors import AssetFailed, Unreachable

__all__ = ["AssetFailed", "Client", "Refusal", "Unreachable"]
