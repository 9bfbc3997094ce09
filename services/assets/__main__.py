"""`python -m services.assets`: serves the record of assets."""

from __future__ import annotations

from pydantic import Field
from reelmesh.assets.v1 import assets_service_pb2, assets_service_pb2_grpc

from services.assets.changes import Changes
from services.assets.consumers import consumer
from services.assets.rpc import WAIT_FOR_COMMIT, AssetsRpc
from services.assets.watch import Watchers
from services.kit.events import Relay
from services.kit.process import Process, run
from services.kit.settings import ProcessSettings

CONTRACT = assets_service_pb2.DESCRIPTOR.services_by_name["AssetsService"]


class AssetsSettings(ProcessSettings):
    """Settings of the assets service."""

    assets_wait_for_commit: float = Field(
        default=WAIT_FOR_COMMIT,
        gt=0,
        le=300,
        description="Seconds that WatchAsset waits for an upload to be committed.",
    )


async def wire(process: Process, settings: AssetsSettings) -> None:
    """Puts the service together and starts it."""
    database = process.database()
    bus = await process.bus()
    watchers = Watchers(database, bus)
    changes = Changes(process.clock, watchers)
    servicer = AssetsRpc(database, changes, watchers, wait_for_commit=settings.assets_wait_for_commit)
    await process.serve(
        [CONTRACT], lambda server: assets_service_pb2_grpc.add_AssetsServiceServicer_to_server(servicer, server)
    )
    process.in_background(Relay(database, bus).run(), "relay")
    process.in_background(watchers.run(), "watchers")
    process.in_background(consumer(database, bus, changes).run(), "consumer")


def main() -> None:
    """Runs the service."""
    run("assets", AssetsSettings, wire)


if __name__ == "__main__":
    main()
