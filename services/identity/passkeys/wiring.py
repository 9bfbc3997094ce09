"""Puts this part of the service together."""

from __future__ import annotations

from services.identity.passkeys.passkey_sign_in import PasskeySignIn
from services.identity.passkeys.registration import PasskeyRegistration
from services.identity.passkeys.relying_party import RelyingParty
from services.identity.passkeys.rpc import PasskeysServicer
from services.identity.sessions.keeping import Sessions
from services.kit.clock import Clock
from services.kit.database import Database


def passkeys_servicer(database: Database, clock: Clock, sessions: Sessions, party: RelyingParty) -> PasskeysServicer:
    """Passkeys of one site."""
    return PasskeysServicer(database, clock, PasskeyRegistration(clock, party), PasskeySignIn(clock, party, sessions))
