"""The policy service's process."""

from __future__ import annotations

from collections.abc import Coroutine
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
from envoy.service.auth.v3 import external_auth_pb2_grpc
from envoy.service.extension.v3 import config_discovery_pb2_grpc
from pydantic import Field
from reelmesh.policy.v1 import (
    decisions_service_pb2,
    decisions_service_pb2_grpc,
    policy_service_pb2,
    policy_service_pb2_grpc,
    revocations_service_pb2,
    revocations_service_pb2_grpc,
    signals_service_pb2,
    signals_service_pb2_grpc,
    ticket_keys_service_pb2,
    ticket_keys_service_pb2_grpc,
    tokens_service_pb2_grpc,
)

from services.kit.clock import Clock
from services.kit.codewords import KEY_FILE
from services.kit.database import Database
from services.kit.events import Relay, ensure_events
from services.kit.personal_data import PersonalData
from services.kit.process import Process, run
from services.kit.sealing import Seal
from services.kit.settings import ProcessSettings
from services.policy import edge
from services.policy.authorizer import SERVER, Authorizer
from services.policy.beats import Beats
from services.policy.cdn.settings import CdnSettings
from services.policy.consumers import Projection
from services.policy.control_plane import RULES, ControlPlane
from services.policy.decision.consumers import FactProjection
from services.policy.decision.gathering import Gathering
from services.policy.decision.recorder import Recorder
from services.policy.decision.review import Review
from services.policy.decision.rpc import DecisionsServicer
from services.policy.decision.territories import Territories
from services.policy.edge import EdgeServicer
from services.policy.erasing import PolicyActs
from services.policy.follower import Follower
from services.policy.gate import Gate
from services.policy.grace import GRACE, Grace
from services.policy.judge import Judge, Known
from services.policy.opening import Opening
from services.policy.personal import DECLARATION
from services.policy.revocations.rpc import RevocationsServicer
from services.policy.rpc import PolicyServicer
from services.policy.signals.rpc import SignalsServicer
from services.policy.signals.watching import Watch
from services.policy.ticket_keys.keeping import POLICY_KEY_FILE, TicketKeys
from services.policy.ticket_keys.rpc import TicketKeysServicer
from services.policy.tickets import TICKET_KEY_FILE, Tickets
from services.policy.tokens.wiring import CONTRACT as TOKENS_CONTRACT
from services.policy.tokens.wiring import Credentials, credentials
from services.policy.upkeep import Upkeep
from services.policy.watermarks import Watermarks

CONTRACT = policy_service_pb2.DESCRIPTOR.services_by_name["PolicyService"]
CONTRACTS = [
    CONTRACT,
    decisions_service_pb2.DESCRIPTOR.services_by_name["DecisionsService"],
    revocations_service_pb2.DESCRIPTOR.services_by_name["RevocationsService"],
    signals_service_pb2.DESCRIPTOR.services_by_name["SignalsService"],
    ticket_keys_service_pb2.DESCRIPTOR.services_by_name["TicketKeysService"],
    TOKENS_CONTRACT,
]


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
        description="Revoked sessions and withdrawn packages that edges are told of, at most, about 31 bytes each. With more, edges ask about every request.",
    )
    policy_edge_lease_seconds: float = Field(
        default=10,
        ge=1,
        description="Seconds for which an edge that hears nothing goes by what it was told last; then it asks about every request.",
    )
    policy_event_grace_seconds: float = Field(
        default=GRACE,
        ge=0,
        description="Seconds that is waited for word of an asset that is not known.",
    )
    policy_cdns: dict[str, CdnSettings] = Field(
        default_factory=dict,
        description="JSON map from name to outside CDN that CreateCdnUrls signs URLs for; `docs/edge-authoriser.md` shows one of each kind.",
    )
    policy_longest_alone_seconds: float = Field(
        default=600,
        ge=1,
        description="Seconds for which open sessions go on while the database cannot be reached. Nothing new is opened meanwhile.",
    )
    policy_throttled_kib_per_second: int = Field(
        default=96,
        ge=1,
        description="KiB a second that a playback gets which is slowed down because of unusual activity: enough for a small picture.",
    )
    policy_territory_database: Path | None = Field(
        default=None,
        description="MaxMind database (GeoIP2 or GeoLite2 City or Country, `.mmdb`). None: no territory is known, and what depends on one is refused.",
    )
    policy_ticket_key_days: float = Field(
        default=90, gt=0, description="Days after which another key signs tickets. Nobody notices."
    )
    policy_upkeep_seconds: float = Field(
        default=600, gt=0, description="Seconds between two removals of codes and answers that nobody needs any more."
    )


def _ticket_keys(
    process: Process, settings: PolicySettings, database: Database, tickets: Tickets, control_plane: ControlPlane
) -> TicketKeys:
    file = settings.secrets_dir / TICKET_KEY_FILE
    return TicketKeys(
        database,
        process.clock,
        seal=Seal(settings.secret(POLICY_KEY_FILE), "policy"),
        tickets=tickets,
        born=datetime.fromtimestamp(file.stat().st_mtime, UTC),
        every=timedelta(days=settings.policy_ticket_key_days),
        changed=control_plane.wake,
    )


@dataclass(frozen=True, slots=True)
class _Deciding:
    """What decides, and what it goes by."""

    judge: Judge
    territories: Territories
    gathering: Gathering
    recorder: Recorder
    watch: Watch
    gate: Gate
    review: Review
    grace: Grace
    opening: Opening
    beats: Beats


def _deciding(
    settings: PolicySettings, database: Database, clock: Clock, *, known: Known, follower: Follower, tickets: Tickets
) -> _Deciding:
    territories = Territories(settings.policy_territory_database)
    gathering, recorder = Gathering(territories), Recorder(database)
    watch = Watch(database, clock, known, gathering=gathering, territories=territories, look=follower.catch_up)
    gate = Gate(database, clock, gathering=gathering, recorder=recorder, watch=watch)
    watch.when_changed(gate.forget_all)
    return _Deciding(
        judge=Judge(tickets, known, clock, longest_alone=settings.policy_longest_alone_seconds),
        territories=territories,
        gathering=gathering,
        recorder=recorder,
        watch=watch,
        gate=gate,
        review=Review(database, clock, known, gathering, forget=gate.forget_all),
        grace=Grace(settings.policy_event_grace_seconds),
        opening=Opening(clock, known, gathering, watch),
        beats=Beats(database, clock, known, gathering),
    )


def _credentials(
    settings: PolicySettings, database: Database, clock: Clock, by: _Deciding, *, follower: Follower, tickets: Tickets
) -> Credentials:
    return credentials(
        database,
        clock,
        judge=by.judge,
        gate=by.gate,
        watch=by.watch,
        follower=follower,
        tickets=tickets,
        secret=settings.secret,
        named_cdns=settings.policy_cdns,
        remembered=settings.policy_tickets_remembered,
        public_url=settings.public_url,
        territory=by.territories,
    )


def _control_plane(settings: PolicySettings, tickets: Tickets, known: Known, clock: Clock) -> ControlPlane:
    return ControlPlane(
        tickets,
        known,
        clock,
        most_barred=settings.policy_most_barred,
        lease=settings.policy_edge_lease_seconds,
        longest_alone=settings.policy_longest_alone_seconds,
        throttled_kib=settings.policy_throttled_kib_per_second,
    )


async def wire(process: Process, settings: PolicySettings) -> None:
    """Puts the service together and starts it. It serves only once all revocations are known."""
    database, clock, known = process.database(), process.clock, Known()
    bus = await process.bus()
    await ensure_events(bus.jetstream())
    follower = Follower(database, known, clock)
    await follower.start(bus)
    watermarks = Watermarks(settings.secret(KEY_FILE), settings.policy_tickets_remembered)
    tickets = Tickets(settings.secret(TICKET_KEY_FILE), settings.policy_tickets_remembered, watermarks)
    by = _deciding(settings, database, clock, known=known, follower=follower, tickets=tickets)
    await by.watch.listen(bus)
    policy = PolicyServicer(
        database,
        clock,
        judge=by.judge,
        known=known,
        follower=follower,
        tickets=tickets,
        opening=by.opening,
        gate=by.gate,
        beats=by.beats,
        grace=by.grace,
        watch=by.watch,
        public_url=settings.public_url,
    )
    others = _credentials(settings, database, clock, by, follower=follower, tickets=tickets)
    decisions = DecisionsServicer(database, clock, by.opening, by.review, by.grace)
    revocations = RevocationsServicer(database, clock, known, follower)
    signals = SignalsServicer(database, clock, by.gathering, by.watch, follower)
    control_plane = _control_plane(settings, tickets, known, clock)
    ticket_keys = _ticket_keys(process, settings, database, tickets, control_plane)
    await ticket_keys.start(bus)

    def add(server: grpc.aio.Server) -> None:
        policy_service_pb2_grpc.add_PolicyServiceServicer_to_server(policy, server)
        decisions_service_pb2_grpc.add_DecisionsServiceServicer_to_server(decisions, server)
        revocations_service_pb2_grpc.add_RevocationsServiceServicer_to_server(revocations, server)
        signals_service_pb2_grpc.add_SignalsServiceServicer_to_server(signals, server)
        ticket_keys_service_pb2_grpc.add_TicketKeysServiceServicer_to_server(TicketKeysServicer(ticket_keys), server)
        external_auth_pb2_grpc.add_AuthorizationServicer_to_server(EdgeServicer(others.doors), server)
        tokens_service_pb2_grpc.add_TokensServiceServicer_to_server(others.servicer, server)
        config_discovery_pb2_grpc.add_ExtensionConfigDiscoveryServiceServicer_to_server(control_plane, server)

    works: dict[str, Coroutine[Any, Any, None]] = {
        "relay": Relay(database, bus).run(),
        "consumer": Projection(known, clock, FactProjection(by.review, known, clock)).consumer(database, bus).run(),
        "follower": follower.run(settings.policy_follow_seconds),
        "upkeep": Upkeep(database, clock, by.territories).run(settings.policy_upkeep_seconds),
        "review": by.review.run(),
        "ticket keys": ticket_keys.run(),
        "recorder": by.recorder.run(),
        "beats": by.beats.run(),
        "watch": by.watch.run(),
        "gate": by.gate.until_stopped(),
    }
    process.all_in_background(works)
    await process.serve_plainly(SERVER, Authorizer(others.doors).answer)
    personal = PersonalData(database, clock, DECLARATION, PolicyActs(clock, known, by.watch.forget))
    await process.serve(CONTRACTS, add, {**edge.RULES, **RULES}, personal=personal)
    process.in_background(control_plane.until_stopped(), "control plane")  # stopped before the server is drained


def main() -> None:
    """Runs until told to stop."""
    run("policy", PolicySettings, wire)


if __name__ == "__main__":
    main()
