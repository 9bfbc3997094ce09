"""Wires what a person has besides an account: one-time codes, profiles, devices; and the postman who writes to them."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import grpc
from reelmesh.identity.v1 import (
    codes_service_pb2,
    codes_service_pb2_grpc,
    devices_service_pb2,
    devices_service_pb2_grpc,
    letters_service_pb2,
    letters_service_pb2_grpc,
    profiles_service_pb2,
    profiles_service_pb2_grpc,
)
from reelmesh.notifications.v1 import notifications_service_pb2

from services.identity.accounts.password_sign_in import PasswordSignIn
from services.identity.codes import Codes
from services.identity.devices.rpc import DevicesServicer
from services.identity.letters import LettersServicer
from services.identity.messages import Messages
from services.identity.one_time_codes.rpc import CodesServicer
from services.identity.one_time_codes.sending import CodeSending
from services.identity.one_time_codes.sign_in import CodeSignIn
from services.identity.postman import Postman
from services.identity.profiles.pins import PinGate
from services.identity.profiles.rpc import ProfilesServicer
from services.identity.sessions.keeping import Sessions
from services.kit.database import Database
from services.kit.process import Process
from services.kit.sealing import Seal

PEOPLE_CONTRACTS = [
    codes_service_pb2.DESCRIPTOR.services_by_name["CodesService"],
    devices_service_pb2.DESCRIPTOR.services_by_name["DevicesService"],
    letters_service_pb2.DESCRIPTOR.services_by_name["LettersService"],
    profiles_service_pb2.DESCRIPTOR.services_by_name["ProfilesService"],
]


def add_people(
    process: Process,
    database: Database,
    *,
    seal: Seal,
    messages: Messages,
    sessions: Sessions,
    password_sign_in: PasswordSignIn,
    device_limits: Mapping[str, int],
    post_seconds: float,
) -> Callable[[grpc.aio.Server], None]:
    """Starts the postman. Returns what adds the servicers of `PEOPLE_CONTRACTS` to a server."""
    clock, codes = process.clock, Codes(seal)
    sending = CodeSending(seal, clock, codes, messages)
    sign_in = CodeSignIn(database, clock, seal=seal, codes=codes, sending=sending, sessions=sessions)
    one_time_codes = CodesServicer(database, clock, sign_in=sign_in, sending=sending, codes=codes, messages=messages)
    profiles = ProfilesServicer(
        database, clock, gate=PinGate(seal, clock), sessions=sessions, password_sign_in=password_sign_in
    )
    devices = DevicesServicer(database, clock, proofs=process.proofs, sessions=sessions, limits=device_limits)
    letters = LettersServicer(database, clock, messages)
    notifications = notifications_service_pb2.DESCRIPTOR.services_by_name["NotificationsService"]
    # The postman has pauses of its own, which providers ask for.
    channel = process.peer("notifications", notifications, repeats=False)
    postman = Postman(database, clock, messages, channel, idle=post_seconds)
    process.in_background(postman.run(), "postman")

    def add(server: grpc.aio.Server) -> None:
        codes_service_pb2_grpc.add_CodesServiceServicer_to_server(one_time_codes, server)
        devices_service_pb2_grpc.add_DevicesServiceServicer_to_server(devices, server)
        letters_service_pb2_grpc.add_LettersServiceServicer_to_server(letters, server)
        profiles_service_pb2_grpc.add_ProfilesServiceServicer_to_server(profiles, server)

    return add
