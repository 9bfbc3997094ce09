"""PINs: which one opens what, and how often one may guess.

A PIN has four to six digits. Any hash of it, Argon2id too, is undone by trying in minutes; a digest under the install's key, which the
database does not hold, is not undone at all by who has the database alone. What is left is guessing at the door, which is counted.
"""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from dataclasses import dataclass

import grpc
from reelmesh.identity.v1 import events_pb2

from services.identity import attempts
from services.identity.attempts import PinGuess
from services.identity.profiles.domain import Profile
from services.identity.refusals import refusal, too_many_attempts
from services.identity.sessions.store import Session
from services.kit.clock import Clock, timestamp
from services.kit.database import Tx
from services.kit.errors import Refusal
from services.kit.events import announce
from services.kit.sealing import Seal


@dataclass(frozen=True, slots=True)
class Wish:
    """What somebody wants to do.

    Attributes:
        session: who it is.
        household: all profiles of the account.
        target: which profile it is about; None for a new one.
        enters: whether they want to be in it, rather than change it.
        always: whether a profile that they are in asks for its PIN too.
    """

    session: Session
    household: Sequence[Profile]
    target: Profile | None
    enters: bool = False
    always: bool = False

    @property
    def current(self) -> Profile | None:
        """The profile that the session is in."""
        return next((one for one in self.household if one.profile_id == self.session.profile_id), None)

    def guards(self) -> Sequence[Profile]:
        """Profiles of which one's PIN must be given; none when nothing guards."""
        target, current = self.target, self.current
        guarded = target is not None and target.pin_digest is not None
        if current is not None and current.kids and not (self.enters and target is not None and target.kids):
            if target is not None and guarded and not target.kids:
                return [target]
            grown_ups = [one for one in self.household if one.pin_digest is not None and not one.kids]
            if grown_ups:
                return grown_ups
        inside = current is not None and target is not None and current.profile_id == target.profile_id
        return [target] if target is not None and guarded and (self.always or not inside) else []


class PinGate:
    """Opens for who has the PIN."""

    def __init__(self, seal: Seal, clock: Clock) -> None:
        self._seal = seal
        self._clock = clock

    def digest(self, profile_id: str, pin: str) -> bytes | None:
        """What is kept of a PIN; None for none."""
        return self._seal.digest("pin", profile_id, pin) if pin else None

    async def refused(self, tx: Tx, wish: Wish, pin: str) -> Refusal | None:
        """Why somebody may not do what they want; None when they may. It must be committed before it is raised, because a wrong PIN
        counts."""
        guards = wish.guards()
        if not guards:
            return None
        target_id = wish.target.profile_id if wish.target else ""
        if not pin:
            message = "this needs the PIN of the profile, or of a grown-up's; send it as `pin`"
            return refusal(grpc.StatusCode.PERMISSION_DENIED, "PIN_REQUIRED", message, profile_id=target_id)
        guess = PinGuess.of(self._seal, wish.session.account_id)
        wait = await attempts.begin(tx, guess, self._clock.now())
        if not wait and any(self._matches(guard, pin) for guard in guards):
            await attempts.forget(tx, guess)
            return None
        wrong = refusal(
            grpc.StatusCode.PERMISSION_DENIED, "PIN_INVALID", "the PIN is wrong; try again", profile_id=target_id
        )
        why = too_many_attempts(wait) if wait else wrong
        await announce(
            tx,
            events_pb2.PinRefused(
                account_id=wish.session.account_id,
                profile_id=target_id,
                session_id=wish.session.session_id,
                reason=why.reason,
                refuse_time=timestamp(self._clock.now()),
            ),
        )
        return why

    def _matches(self, profile: Profile, pin: str) -> bool:
        digest = self.digest(profile.profile_id, pin)
        return digest is not None and profile.pin_digest is not None and hmac.compare_digest(digest, profile.pin_digest)
