"""Puts this part of the service together."""

from __future__ import annotations

from collections.abc import Callable

import grpc
from reelmesh.identity.v1 import passkeys_service_pb2, passkeys_service_pb2_grpc

from services.identity.messages import Messages
from services.identity.passkeys.passkey_sign_in import PasskeySignIn
from services.identity.passkeys.registration import PasskeyRegistration
from services.identity.passkeys.relying_party import RelyingParty
from services.identity.passkeys.rpc import PasskeysServicer
from services.identity.sessions.keeping import Sessions
from services.kit.clock import Clock
from services.kit.database import Database

PASSKEYS_CONTRACTS = [passkeys_service_pb2.DESCRIPTOR.services_by_name["PasskeysService"]]


def add_passkeys(
    database: Database, clock: Clock, sessions: Sessions, messages: Messages, party: RelyingParty
) -> Callable[[grpc.aio.Server], None]:
    """Passkeys of one site. Returns what adds the servicer of `PASSKEYS_CONTRACTS` to a server."""
    servicer = PasskeysServicer(
        database, clock, PasskeyRegistration(clock, messages, party), PasskeySignIn(clock, party, sessions)
    )

    def add(server: grpc.aio.Server) -> None:
        passkeys_service_pb2_grpc.add_PasskeysServiceServicer_to_server(servicer, server)

    return add
