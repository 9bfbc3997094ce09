"""`python -m services.identity`: serves accounts, organisations, API keys, and what others need to recognise them."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import grpc
from pydantic import Field
from reelmesh.identity.v1 import (
    accounts_service_pb2,
    accounts_service_pb2_grpc,
    api_keys_service_pb2,
    api_keys_service_pb2_grpc,
    organisations_service_pb2,
    organisations_service_pb2_grpc,
    signing_keys_service_pb2,
    signing_keys_service_pb2_grpc,
)
from reelmesh.rpc.v1 import trust_service_pb2, trust_service_pb2_grpc

from services.identity.accounts.joining import Joining
from services.identity.accounts.password_sign_in import PasswordSignIn
from services.identity.accounts.rpc import AccountsServicer
from services.identity.api_keys.recognition import ApiKeyRecognition
from services.identity.api_keys.rpc import ApiKeysServicer
from services.identity.codes import Codes
from services.identity.devices.domain import LIMITS
from services.identity.messages import Messages
from services.identity.oauth import assembly as oauth
from services.identity.organisations import store as organisations
from services.identity.organisations.domain import Organisation
from services.identity.organisations.members import Members
from services.identity.organisations.rpc import OrganisationsServicer
from services.identity.passwords import BreachedPasswords, Passwords
from services.identity.people import PEOPLE_CONTRACTS, add_people
from services.identity.sealing import IDENTITY_KEY_FILE, Seal
from services.identity.sessions.keeping import Sessions
from services.identity.trust.feed import TrustFeed
from services.identity.trust.local import LocalTrust
from services.identity.trust.rpc import SigningKeysServicer, TrustServicer
from services.identity.trust.signing import Signer
from services.identity.upkeep import Upkeep
from services.kit.access import API_KEYS_FILE
from services.kit.clock import Clock
from services.kit.database import Database
from services.kit.events import Relay, ensure_events
from services.kit.process import Process, run

CONTRACTS = [
    accounts_service_pb2.DESCRIPTOR.services_by_name["AccountsService"],
    api_keys_service_pb2.DESCRIPTOR.services_by_name["ApiKeysService"],
    organisations_service_pb2.DESCRIPTOR.services_by_name["OrganisationsService"],
    signing_keys_service_pb2.DESCRIPTOR.services_by_name["SigningKeysService"],
    trust_service_pb2.DESCRIPTOR.services_by_name["TrustService"],
    *oauth.CONTRACTS,
    *PEOPLE_CONTRACTS,
]


class IdentitySettings(oauth.OAuthSettings):
    """What can be set about people and how they sign in."""

    identity_registration_open: bool = Field(
        default=True,
        description="Whether anybody may register. Otherwise accounts come by invitation and single sign-on only.",
    )
    identity_home_organisation: str = Field(
        default="",
        description="Organisation that whoever registers joins as a viewer. Empty: the one of the operator's API key.",
    )
    identity_argon2_memory_kib: int = Field(
        default=64 * 1024,
        ge=8,
        description="Memory of one password hash in KiB (RFC 9106 §4: 64 MiB is the second recommended choice).",
    )
    identity_argon2_passes: int = Field(default=3, ge=1, description="Passes over that memory.")
    identity_argon2_workers: int = Field(
        default_factory=lambda: max(1, os.cpu_count() or 1), ge=1, description="Passwords that are hashed at a time."
    )
    identity_breached_passwords: Path | None = Field(
        default=None,
        description="Folder of SHA-1 range files of breached passwords, `<FIVE HEX DIGITS>.txt`. None: no such list.",
    )
    identity_device_limits: dict[str, int] = Field(
        default_factory=lambda: dict(LIMITS),
        description="JSON map from tiers to the devices that an account may have. A tier not named has those of `free`.",
    )
    identity_post_seconds: float = Field(
        default=10, gt=0, description="Seconds between two looks for messages that a process which died left to send."
    )
    identity_upkeep_seconds: float = Field(
        default=600, gt=0, description="Seconds between two removals of what nobody needs any more."
    )


async def _home(settings: IdentitySettings, database: Database, process: Process) -> str:
    """The organisation that registered people join; it is made at the first start."""
    organisation_id = settings.identity_home_organisation
    if not organisation_id:
        keys = json.loads((settings.secrets_dir / API_KEYS_FILE).read_text(encoding="utf-8"))
        organisation_id = str(keys[0]["organisation_id"])
    async with database.transaction() as tx:
        home = Organisation(organisation_id, 1, "Home", "standard", process.clock.now())
        await organisations.ensure(tx, home)
    return organisation_id


def _passwords(settings: IdentitySettings) -> Passwords:
    return Passwords(
        memory_kib=settings.identity_argon2_memory_kib,
        passes=settings.identity_argon2_passes,
        breached=BreachedPasswords(settings.identity_breached_passwords),
        workers=settings.identity_argon2_workers,
    )


def _groups(
    database: Database, clock: Clock, sessions: Sessions, feed: TrustFeed, signer: Signer
) -> Callable[[grpc.aio.Server], None]:
    """What organisations own: members, roles and keys. Returns what adds it to a server."""
    organisations_ = OrganisationsServicer(database, clock, Members(clock, sessions, feed), feed)
    keys = ApiKeysServicer(database, clock, feed)
    signing = SigningKeysServicer(database, signer, feed)

    def add(server: grpc.aio.Server) -> None:
        api_keys_service_pb2_grpc.add_ApiKeysServiceServicer_to_server(keys, server)
        organisations_service_pb2_grpc.add_OrganisationsServiceServicer_to_server(organisations_, server)
        signing_keys_service_pb2_grpc.add_SigningKeysServiceServicer_to_server(signing, server)

    return add


def _joining(
    settings: IdentitySettings,
    database: Database,
    clock: Clock,
    *,
    seal: Seal,
    messages: Messages,
    passwords: Passwords,
    sessions: Sessions,
    home: str,
) -> Joining:
    return Joining(
        database,
        clock,
        codes=Codes(seal),
        messages=messages,
        passwords=passwords,
        sessions=sessions,
        home_organisation_id=home,
        registration_open=settings.identity_registration_open,
    )


async def wire(process: Process, settings: IdentitySettings) -> None:
    """Puts the service together and starts it. It serves only once keys and revocations are known."""
    database, clock = process.database(), process.clock
    bus = await process.bus()
    await ensure_events(bus.jetstream())
    seal = Seal(settings.secret(IDENTITY_KEY_FILE))
    signer = Signer(seal, clock, settings.public_url.rstrip("/"))
    feed = TrustFeed(database, clock, signer)
    await feed.start(bus)
    api_keys = ApiKeyRecognition(database, clock)
    passwords = _passwords(settings)
    sessions, messages = Sessions(clock, signer, feed), Messages(seal)
    password_sign_in = PasswordSignIn(database, clock, seal, passwords, sessions)
    joining = _joining(
        settings,
        database,
        clock,
        seal=seal,
        messages=messages,
        passwords=passwords,
        sessions=sessions,
        home=await _home(settings, database, process),
    )
    accounts = AccountsServicer(
        database,
        clock,
        joining=joining,
        password_sign_in=password_sign_in,
        sessions=sessions,
        feed=feed,
        proofs=process.proofs,
    )
    people = add_people(
        process,
        database,
        seal=seal,
        messages=messages,
        sessions=sessions,
        password_sign_in=password_sign_in,
        device_limits=settings.identity_device_limits,
        post_seconds=settings.identity_post_seconds,
    )
    trust = LocalTrust(clock, signer, feed, api_keys)
    oauth_part = oauth.OAuthPart(
        settings,
        database,
        clock,
        seal=seal,
        signer=signer,
        feed=feed,
        sessions=sessions,
        trust=trust,
        proofs=process.proofs,
    )
    groups = _groups(database, clock, sessions, feed, signer)

    def add(server: grpc.aio.Server) -> None:
        people(server)
        groups(server)
        accounts_service_pb2_grpc.add_AccountsServiceServicer_to_server(accounts, server)
        trust_service_pb2_grpc.add_TrustServiceServicer_to_server(TrustServicer(feed, api_keys), server)
        oauth_part.add(server)

    process.in_background(Relay(database, bus.jetstream()).run(), "relay")
    process.in_background(feed.run(), "trust feed")
    process.in_background(Upkeep(database, clock).run(settings.identity_upkeep_seconds), "upkeep")
    await process.serve(CONTRACTS, add, trust=trust)
    process.in_background(feed.until_stopped(), "trust watchers")  # stopped before the server is drained


def main() -> None:
    """Runs the service."""
    run("identity", IdentitySettings, wire)


if __name__ == "__main__":
    main()
