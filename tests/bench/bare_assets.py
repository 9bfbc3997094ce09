"""`python -m tests.bench.bare_assets`: the assets service without the kit's interceptors, for measuring what they cost.

The same handlers on the same database behind the same mutual TLS, but nobody is recognised, nothing is validated, counted, traced or
logged. It takes everybody for somebody of the organisation in `BENCH_ORGANISATION`.
"""

from __future__ import annotations

import os

import grpc
from reelmesh.assets.v1 import assets_service_pb2, assets_service_pb2_grpc

from services.assets.changes import Changes
from services.assets.rpc import AssetsRpc, Context
from services.assets.watch import Watchers
from services.kit.access import Principal
from services.kit.process import Process, run
from services.kit.server import SERVER_OPTIONS, Call, _call
from services.kit.settings import ProcessSettings
from services.kit.tls import server_credentials


class _Bare(AssetsRpc):
    """Handlers that find a caller where the guard would have put one."""

    caller = Call("", Principal("bench", organisation_id=os.environ.get("BENCH_ORGANISATION", "")), None)

    async def GetAsset(
        self, request: assets_service_pb2.GetAssetRequest, context: Context
    ) -> assets_service_pb2.GetAssetResponse:
        """Returns one asset."""
        _call.set(self.caller)
        return await super().GetAsset(request, context)


async def wire(process: Process, settings: ProcessSettings) -> None:
    """Serves on the address in the settings."""
    database = process.database()
    watchers = Watchers(database, await process.bus())
    server = grpc.aio.server(options=SERVER_OPTIONS)
    servicer = _Bare(database, Changes(process.clock, watchers), watchers)
    assets_service_pb2_grpc.add_AssetsServiceServicer_to_server(servicer, server)
    server.add_secure_port(settings.listen_address("assets"), server_credentials(process.certificates))
    await server.start()
    process.at_end(lambda: server.stop(1))


if __name__ == "__main__":
    run("assets", ProcessSettings, wire)
