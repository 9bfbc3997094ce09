"""`python -m services.transcode`: plans jobs and serves their record. They are worked on by `services.transcode.worker`."""

from __future__ import annotations

from pydantic import Field
from reelmesh.transcode.v1 import transcode_service_pb2, transcode_service_pb2_grpc

from services.kit.events import Relay
from services.kit.process import Process, run
from services.kit.settings import ProcessSettings
from services.transcode.care import Caretaker
from services.transcode.consumers import Listener
from services.transcode.jobs import QUEUE, Jobs
from services.transcode.rpc import TranscodeRpc

CONTRACT = transcode_service_pb2.DESCRIPTOR.services_by_name["TranscodeService"]


class TranscodeSettings(ProcessSettings):
    """Settings of the transcode service."""

    transcode_care_seconds: float = Field(
        default=2, gt=0, description="Seconds between two looks for what ended jobs left and for tasks the queue lost."
    )
    transcode_watermarking: str = Field(
        default="OFF",
        pattern="^(OFF|STANDARD|STRONG)$",
        description="Whether films are watermarked of which the upload does not say. It takes about twice the encoding and twice the room.",
    )


async def wire(process: Process, settings: TranscodeSettings) -> None:
    """Puts the service together and starts it."""
    database, objects = process.database(), process.store()
    bus = await process.bus()
    js = bus.jetstream()
    await QUEUE.ensure(js)
    jobs = Jobs(database, objects, process.clock)
    servicer = TranscodeRpc(database, jobs)
    await process.serve(
        [CONTRACT], lambda server: transcode_service_pb2_grpc.add_TranscodeServiceServicer_to_server(servicer, server)
    )
    caretaker = Caretaker(database, objects, process.clock)
    process.in_background(Relay(database, bus).run(), "relay")
    process.in_background(caretaker.run(settings.transcode_care_seconds), "caretaker")
    listener = Listener(jobs, settings.transcode_watermarking)
    process.in_background(listener.consumer(database, bus).run(), "consumer")


def main() -> None:
    """Runs the service."""
    run("transcode", TranscodeSettings, wire)


if __name__ == "__main__":
    main()
