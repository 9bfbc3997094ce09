"""Puts the servicers of OAuth and of outside providers together."""

from __future__ import annotations

from typing import Final, Literal

import grpc
from pydantic import Field
from reelmesh.identity.v1 import (
    oauth_clients_service_pb2,
    oauth_clients_service_pb2_grpc,
    oauth_service_pb2,
    oauth_service_pb2_grpc,
    sso_service_pb2,
    sso_service_pb2_grpc,
)

from services.identity.oauth.answering import Answering
from services.identity.oauth.issuing import Issuing
from services.identity.oauth.leaving import Leaving
from services.identity.oauth.rpc import OAuthServicer
from services.identity.oauth.tokens import TokenDesk
from services.identity.oauth_clients.rpc import OAuthClientsServicer
from services.identity.oauth_clients.store import Clients
from services.identity.sessions.keeping import Sessions
from services.identity.sso.arriving import Arriving
from services.identity.sso.rpc import SsoServicer
from services.identity.trust.feed import TrustFeed
from services.identity.trust.signing import Signer
from services.kit.access import Trust
from services.kit.clock import Clock
from services.kit.database import Database
from services.kit.dpop import Proofs
from services.kit.sealing import Seal
from services.kit.settings import ProcessSettings

CONTRACTS: Final = (
    oauth_clients_service_pb2.DESCRIPTOR.services_by_name["OAuthClientsService"],
    oauth_service_pb2.DESCRIPTOR.services_by_name["OAuthService"],
    sso_service_pb2.DESCRIPTOR.services_by_name["SsoService"],
)


class OAuthSettings(ProcessSettings):
    """What can be set about OAuth clients and outside providers."""

    identity_oauth_trust_first_party: bool = Field(
        default=False,
        description="Whether people are not asked before Reelmesh's own clients get tokens for them, where nobody else can catch those.",
    )
    sso_networks: Literal["public", "private", "loopback"] = Field(
        default="public",
        description="Where outside providers may be: at public addresses only, in private networks too, or also on this machine by http.",
    )


class OAuthPart:
    """The servicers."""

    def __init__(
        self,
        settings: OAuthSettings,
        database: Database,
        clock: Clock,
        *,
        seal: Seal,
        signer: Signer,
        feed: TrustFeed,
        sessions: Sessions,
        trust: Trust,
        proofs: Proofs,
    ) -> None:
        clients = Clients(signer.issuer)
        self._clients = OAuthClientsServicer(database, clock, clients, feed)
        self._oauth = OAuthServicer(
            database,
            clock,
            clients=clients,
            answering=Answering(
                database,
                clock,
                clients=clients,
                seal=seal,
                issuer=signer.issuer,
                trust_first_party=settings.identity_oauth_trust_first_party,
            ),
            issuing=Issuing(clock, signer, sessions, proofs),
            leaving=Leaving(clock, clients=clients, seal=seal, signer=signer, sessions=sessions),
            tokens=TokenDesk(clock, trust, sessions, feed),
            sessions=sessions,
            signer=signer,
        )
        self._sso = SsoServicer(
            database,
            clock,
            seal,
            Arriving(database, clock, seal, sessions),
            public_url=signer.issuer,
            loopback=settings.sso_networks == "loopback",
        )

    def add(self, server: grpc.aio.Server) -> None:
        """Adds them to a server."""
        oauth_clients_service_pb2_grpc.add_OAuthClientsServiceServicer_to_server(self._clients, server)
        oauth_service_pb2_grpc.add_OAuthServiceServicer_to_server(self._oauth, server)
        sso_service_pb2_grpc.add_SsoServiceServicer_to_server(self._sso, server)
