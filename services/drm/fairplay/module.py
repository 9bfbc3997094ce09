"""Key Security Modules: what turns an SPC and a content key into a CKC. Two do: ours, and Apple's behind HTTP (`sdk_server`)."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from services.drm.domain import ContentKey
from services.drm.fairplay.ckc import make_ckc
from services.drm.fairplay.conditions import Abilities, Conditions, terms_of
from services.drm.fairplay.credentials import Credentials
from services.drm.fairplay.spc import Derive, Session, Spc, open_container, read_container


class Request(Protocol):
    """An SPC that a module has read as far as it can.

    Attributes:
        asset_id: what the player wants, as it was told; empty when the module cannot see it.
        fingerprint: the same for the same SPC, whatever was done to it on the way; 32 bytes.
        creation_time: when the device says that it made the SPC; None when it says nothing, or the module cannot see it.
    """

    @property
    def asset_id(self) -> bytes: ...

    @property
    def fingerprint(self) -> bytes: ...

    @property
    def creation_time(self) -> datetime | None: ...

    async def ckc(self, key: ContentKey, conditions: Conditions) -> bytes:
        """The answer.

        Raises:
            KsmError: it cannot be made.
            CannotEnforce: the device would not hold to the conditions.
            Refusal: the module is away.
        """
        ...


class KeySecurityModule(Protocol):
    """Reads SPCs and answers them."""

    def read(self, spc: bytes) -> Request:
        """Reads an SPC.

        Raises:
            KsmError: of the kind that fits.
        """
        ...


class OwnModule:
    """Answers SPCs of version 1 by itself.

    Args:
        derive: the operator's D function.
    """

    def __init__(self, credentials: Credentials, derive: Derive) -> None:
        self._credentials = credentials
        self._derive = derive

    def read(self, spc: bytes) -> OwnRequest:
        credentials = self._credentials
        opened = open_container(read_container(spc), credentials.certificate, credentials.private_key)
        return OwnRequest(opened, opened.session(self._derive, credentials.application_secret_key))


@dataclass(frozen=True, slots=True)
class OwnRequest:
    """An SPC of version 1, opened and found whole."""

    spc: Spc
    session: Session

    @property
    def asset_id(self) -> bytes:
        return self.spc.asset_id

    @property
    def fingerprint(self) -> bytes:
        # Nobody but the device can make another SPC with the same R1, and with other bits around it this one is still the same.
        return hashlib.sha256(self.session.r1).digest()

    @property
    def creation_time(self) -> datetime | None:
        return self.spc.playback.creation_time if self.spc.playback else None

    @property
    def abilities(self) -> Abilities:
        """What the device says that it understands."""
        return Abilities(durations=self.spc.playback is not None, hdcp=self.spc.can_enforce_hdcp)

    async def ckc(self, key: ContentKey, conditions: Conditions) -> bytes:
        return make_ckc(self.spc, self.session, key.key, key.iv, terms_of(conditions, self.abilities))
