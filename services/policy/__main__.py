"""The policy service's process."""

from __future__ import annotations

import grpc
from envoy.service.auth.v3 import external_auth_pb2_grpc
from envoy.service.extension.v3 import config_discovery_pb2_grpc
from pydantic import Field
from reelmesh.policy.v1 import policy_service_pb2, policy_service_pb2_grpc

from services.kit.events import Relay, ensure_events
from services.kit.process import Process, run
from services.kit.settings import ProcessSettings
from services.policy import edge
from services.policy.consumers import Projection
from services.policy.control_plane import RULES, ControlPlane
from services.policy.edge import EdgeServicer
from services.policy.follower import Follower
from services.policy.judge import Judge, Known
from services.policy.rpc import EVENT_GRACE, PolicyServicer
from services.policy.tickets import TICKET_KEY_FILE, Tickets
from services.policy.upkeep import Upkeep

CONTRACT = policy_service_pb2.DESCRIPTOR.services_by_name["PolicyService"]


class PolicySettings(ProcessSettings):
    """What can be set about access decisions."""

    policy_follow_seconds: float = Field(
        default=1,
        gt=0,
        description="Seconds between two looks into the database for what other replicas did, should the event bus not tell.",
    )
    policy_tickets_remembered: int = Field(
        default=65_536,
        ge=1,
        description="How many verified tickets are kept in memory, about 1.5 KB each; one that is not costs a signature check.",
    )
    policy_most_barred: int = Field(
        default=20_000,
        ge=0,
        le=30_000,
        description="Revoked sessions and withdrawn packages that edges are told of, at most, about 120 bytes each. With more, edges ask about every request.",
    )
    policy_edge_lease_seconds: float = Field(
        default=10,
        ge=1,
        description="Seconds for which an edge that hears nothing goes by what it was told last; then it asks about every request.",
    )
    policy_event_grace_seconds: float = Field(
        default=EVENT_GRACE,
        ge=0,
        description="Seconds that CreatePlayback waits for word of an asset that it does not know to be playable.",
    )
    policy_upkeep_seconds: float = Field(
        default=600, gt=0, description="Seconds between two removals of codes and answers that nobody needs any more."
    )


async def wire(process: Process, settings: PolicySettings) -> None:
    """Puts the service together and starts it. It serves only once all revocations are known."""
    database, clock, known = process.database(), process.clock, Known()
    bus = await process.bus()
    js = bus.jetstream()
    await ensure_events(js)
    follower = Follower(database, known, clock)
    await follower.listen(bus)
    await follower.catch_up()
    tickets = Tickets(settings.secret(TICKET_KEY_FILE), settings.policy_tickets_remembered)
    judge = Judge(tickets, known, clock)
    policy = PolicyServicer(
        database,
        clock,
        judge=judge,
        known=known,
        follower=follower,
        tickets=tickets,
        public_url=settings.public_url,
        event_grace=settings.policy_event_grace_seconds,
    )

    control_plane = ControlPlane(
        tickets, known, clock, most_barred=settings.policy_most_barred, lease=settings.policy_edge_lease_seconds
    )

    def add(server: grpc.aio.Server) -> None:
        policy_service_pb2_grpc.add_PolicyServiceServicer_to_server(policy, server)
        external_auth_pb2_grpc.add_AuthorizationServicer_to_server(EdgeServicer(judge, follower), server)
        config_discovery_pb2_grpc.add_ExtensionConfigDiscoveryServiceServicer_to_server(control_plane, server)

    process.in_background(Relay(database, js).run(), "relay")
    process.in_background(Projection(known, clock).consumer(database, bus).run(), "consumer")
    process.in_background(follower.run(settings.policy_follow_seconds), "follower")
    process.in_background(Upkeep(database, clock).run(settings.policy_upkeep_seconds), "upkeep")
    await process.serve([CONTRACT], add, {**edge.RULES, **RULES})
    # Stopped before the server is drained.
    process.in_background(control_plane.until_stopped(), "control plane")


def main() -> None:
    """Runs until told to stop."""
    run("policy", PolicySettings, wire)


if __name__ == "__main__":
    main()
