"""`python -m services.identity`: serves accounts, organisations, API keys, and what others need to recognise them."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
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
from services.identity.accounts.mailing import Mailing
from services.identity.accounts.password_sign_in import PasswordSignIn
from services.identity.accounts.rpc import AccountsServicer
from services.identity.api_keys.recognition import ApiKeyRecognition
from services.identity.api_keys.rpc import ApiKeysServicer
from services.identity.codes import Codes
from services.identity.devices.domain import LIMITS
from services.identity.leak_letters import LeakLetters
from services.identity.messages import Messages
from services.identity.oauth import assembly as oauth
from services.identity.organisations import store as organisations
from services.identity.organisations.domain import Organisation
from services.identity.organisations.members import Members
from services.identity.organisations.rpc import OrganisationsServicer
from services.identity.passkeys.relying_party import RelyingParty
from services.identity.passkeys.wiring import PASSKEYS_CONTRACTS, add_passkeys
from services.identity.passwords import BreachedPasswords, Passwords
from services.identity.people import PEOPLE_CONTRACTS, add_people
from services.identity.personal import DECLARATION, IdentityActs
from services.identity.sessions.keeping import Sessions
from services.identity.trust.feed import TrustFeed
from services.identity.trust.local import LocalTrust
from services.identity.trust.rpc import SigningKeysServicer, TrustServicer
from services.identity.trust.signing import IDENTITY_KEY_FILE, Signer
from services.identity.upkeep import Upkeep
from services.kit.access import API_KEYS_FILE
from services.kit.database import Database
from services.kit.events import Relay, ensure_events
from services.kit.personal_data import PersonalData
from services.kit.process import Process, run
from services.kit.sealing import Seal

CONTRACTS = [
    accounts_service_pb2.DESCRIPTOR.services_by_name["AccountsService"],
    api_keys_service_pb2.DESCRIPTOR.services_by_name["ApiKeysService"],
    organisations_service_pb2.DESCRIPTOR.services_by_name["OrganisationsService"],
    signing_keys_service_pb2.DESCRIPTOR.services_by_name["SigningKeysService"],
    trust_service_pb2.DESCRIPTOR.services_by_name["TrustService"],
    *oauth.CONTRACTS,
    *PEOPLE_CONTRACTS,
    *PASSKEYS_CONTRACTS,
]

Add = Callable[[grpc.aio.Server], None]
"""Adds a part's servicers to a server."""


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
    identity_passkey_rp_id: str = Field(
        default="",
        description="Host that passkeys are bound to, for ever. Empty: that of the public URL; `localhost` for loopback.",
    )
    identity_passkey_origins: tuple[str, ...] = Field(
        default=(),
        description="JSON list of origins whose pages may ask for passkeys. Empty: that of the public URL.",
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


@dataclass(frozen=True)
class _Foundation:
    """What the parts of the service stand on."""

    process: Process
    settings: IdentitySettings
    database: Database
    seal: Seal
    signer: Signer
    feed: TrustFeed
    sessions: Sessions
    messages: Messages
    passwords: Passwords
    password_sign_in: PasswordSignIn

    @classmethod
    def of(cls, process: Process, settings: IdentitySettings) -> _Foundation:
        """Makes it. Nothing is started yet."""
        database, clock = process.database(), process.clock
        seal = Seal(settings.secret(IDENTITY_KEY_FILE), "identity")
        signer = Signer(seal, clock, settings.public_url.rstrip("/"))
        feed = TrustFeed(database, clock, signer)
        sessions = Sessions(clock, signer, feed)
        passwords = _passwords(settings)
        return cls(
            process,
            settings,
            database,
            seal=seal,
            signer=signer,
            feed=feed,
            sessions=sessions,
            messages=Messages(seal),
            passwords=passwords,
            password_sign_in=PasswordSignIn(database, clock, seal, passwords, sessions),
        )


def _accounts(on: _Foundation, home: str) -> Add:
    """Accounts and the ways into them by address and password."""
    clock = on.process.clock
    joining = Joining(
        on.database,
        clock,
        codes=Codes(on.seal),
        mailing=Mailing(on.database, clock, on.seal),
        messages=on.messages,
        passwords=on.passwords,
        sessions=on.sessions,
        home_organisation_id=home,
        registration_open=on.settings.identity_registration_open,
    )
    servicer = AccountsServicer(
        on.database,
        clock,
        joining=joining,
        password_sign_in=on.password_sign_in,
        sessions=on.sessions,
        feed=on.feed,
        proofs=on.process.proofs,
    )
    return partial(accounts_service_pb2_grpc.add_AccountsServiceServicer_to_server, servicer)


def _people(on: _Foundation) -> Add:
    """What people have besides accounts."""
    return add_people(
        on.process,
        on.database,
        seal=on.seal,
        messages=on.messages,
        sessions=on.sessions,
        password_sign_in=on.password_sign_in,
        device_limits=on.settings.identity_device_limits,
        post_seconds=on.settings.identity_post_seconds,
    )


def _groups(on: _Foundation) -> Add:
    """What organisations own: members, roles and keys."""
    clock = on.process.clock
    organisations_ = OrganisationsServicer(on.database, clock, Members(clock, on.sessions, on.feed), on.feed)
    keys = ApiKeysServicer(on.database, clock, on.feed)
    signing = SigningKeysServicer(on.database, on.signer, on.feed)

    def add(server: grpc.aio.Server) -> None:
        api_keys_service_pb2_grpc.add_ApiKeysServiceServicer_to_server(keys, server)
        organisations_service_pb2_grpc.add_OrganisationsServiceServicer_to_server(organisations_, server)
        signing_keys_service_pb2_grpc.add_SigningKeysServiceServicer_to_server(signing, server)

    return add


def _passkeys(on: _Foundation) -> Add:
    """Passkeys of this install's site."""
    settings = on.settings
    party = RelyingParty.of(settings.public_url, settings.identity_passkey_rp_id, settings.identity_passkey_origins)
    return add_passkeys(on.database, on.process.clock, on.sessions, on.messages, party)


def _oauth(on: _Foundation, trust: LocalTrust) -> Add:
    """What apps, televisions and outside providers need."""
    return oauth.OAuthPart(
        on.settings,
        on.database,
        on.process.clock,
        seal=on.seal,
        signer=on.signer,
        feed=on.feed,
        sessions=on.sessions,
        trust=trust,
        proofs=on.process.proofs,
    ).add


async def wire(process: Process, settings: IdentitySettings) -> None:
    """Puts the service together and starts it. It serves only once keys and revocations are known."""
    bus = await process.bus()
    await ensure_events(bus.jetstream())
    on = _Foundation.of(process, settings)
    await on.feed.start(bus)
    api_keys = ApiKeyRecognition(on.database, process.clock)
    trust = LocalTrust(process.clock, on.signer, on.feed, api_keys)
    parts: list[Add] = [
        _accounts(on, await _home(settings, on.database, process)),
        _people(on),
        _groups(on),
        _passkeys(on),
        _oauth(on, trust),
        partial(trust_service_pb2_grpc.add_TrustServiceServicer_to_server, TrustServicer(on.feed, api_keys)),
    ]

    def add(server: grpc.aio.Server) -> None:
        for part in parts:
            part(server)

    process.in_background(Relay(on.database, bus).run(), "relay")
    letters = LeakLetters(process.clock, on.messages)
    process.in_background(letters.consumer(on.database, bus).run(), "leak letters")
    process.in_background(on.feed.run(), "trust feed")
    process.in_background(Upkeep(on.database, process.clock).run(settings.identity_upkeep_seconds), "upkeep")
    acts = IdentityActs(process.clock, on.sessions, on.feed)
    personal = PersonalData(on.database, process.clock, DECLARATION, acts)
    await process.serve(CONTRACTS, add, trust=trust, personal=personal)
    process.in_background(on.feed.until_stopped(), "trust watchers")  # stopped before the server is drained


def main() -> None:
    """Runs the service."""
    run("identity", IdentitySettings, wire)


if __name__ == "__main__":
    main()
