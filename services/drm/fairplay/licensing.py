"""The way of a FairPlay licence: granted by the ticket and the policy, the SPC read, the one key found that it asks for, the CKC made, recorded.

Nothing is decrypted before the ticket is found good.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final, Protocol

from services.drm.domain import ContentKey
from services.drm.fairplay import refusals
from services.drm.fairplay.asset import key_id_of_asset
from services.drm.fairplay.challenge import Challenge
from services.drm.fairplay.conditions import CannotEnforce, conditions_of
from services.drm.fairplay.credentials import NotConfigured
from services.drm.fairplay.deployments import Deployments
from services.drm.fairplay.module import Request
from services.drm.fairplay.replays import Replays
from services.drm.fairplay.status import KsmError, UnknownAsset
from services.drm.licences.asked import Asked, Grant
from services.drm.licences.policy import DropReason
from services.drm.licences.refusals import dropped
from services.kit.errors import Refusal

_HDCP: Final = "hdcp"


class Grants(Protocol):
    """What decides on licences and records them; see `services.drm.licences.granting`."""

    async def granted(self, asked: Asked) -> Grant:
        """Decides, and opens the keys."""
        ...

    async def issued(self, grant: Grant) -> None:
        """Records the licence."""
        ...

    async def refused(self, grant: Grant, refusal: Refusal) -> None:
        """Records that what was granted was refused after all."""
        ...


class FairPlay:
    """Issues FairPlay licences."""

    def __init__(self, grants: Grants, deployments: Deployments, replays: Replays) -> None:
        self._grants = grants
        self._deployments = deployments
        self._replays = replays

    async def licence(self, asked: Asked, challenge: Challenge) -> bytes:
        """A CKC, recorded when this returns.

        Args:
            challenge: what the player sent.
            asked: for one key, or for all that the session may have: which of them it is stands in the SPC. With the greatest security
                level and HDCP version that there are: Apple's devices decrypt in hardware, and what a device knows of HDCP stands in the SPC.

        Raises:
            Refusal: what `Granting` raises; FAIRPLAY_NOT_CONFIGURED, FAIRPLAY_SPC_REFUSED, FAIRPLAY_SPC_REPLAYED, FAIRPLAY_DEVICE_UNFIT,
                OUTPUT_UNPROTECTED, UPSTREAM_UNAVAILABLE, DEPENDENCY_UNAVAILABLE.
        """
        grant = await self._grants.granted(asked)
        try:
            request = self._read(grant, challenge.spc)
            grant = _narrowed(grant, _wanted(grant, challenge, request))
            ckc = await self._ckc(grant, request)
        except Refusal as refusal:
            await self._grants.refused(grant, refusal)
            raise
        await self._grants.issued(grant)
        return ckc

    def _read(self, grant: Grant, spc: bytes) -> Request:
        try:
            return self._deployments.module(grant.organisation_id, spc).read(spc)
        except NotConfigured as error:
            raise refusals.not_configured(error) from None
        except KsmError as error:
            raise refusals.spc_refused(error) from None

    async def _ckc(self, grant: Grant, request: Request) -> bytes:
        (key,) = grant.keys
        if self._replays.stale(request.creation_time):
            raise refusals.spc_replayed("stale")
        if not await self._replays.claim(request.fingerprint, request.creation_time):
            raise refusals.spc_replayed("replayed")
        try:
            return await request.ckc(key, conditions_of(grant, key.label))
        except KsmError as error:
            raise refusals.spc_refused(error) from None
        except CannotEnforce as error:
            if error.condition == _HDCP:
                raise dropped(DropReason.OUTPUT_UNPROTECTED, [key.label], grant.policy.rule(key.label)) from None
            raise refusals.device_unfit(error) from None


def _wanted(grant: Grant, challenge: Challenge, request: Request) -> ContentKey:
    """The key that the device asks for.

    Raises:
        Refusal: FAIRPLAY_SPC_REFUSED: it asks for none that it may have.
    """
    try:
        key_id = key_id_of_asset(request.asset_id) if request.asset_id else challenge.key_id
        if challenge.key_id not in {None, key_id}:
            raise UnknownAsset("the SPC asks for another key than `key_id` names")
        if key_id is None and len(grant.keys) == 1:
            return grant.keys[0]
        if key_id is None:
            raise UnknownAsset(
                "SPCs of this version cannot be read here: send a form that names the key as `key_id` beside the SPC"
            )
        for key in grant.keys:
            if key.key_id == key_id:
                return key
        raise UnknownAsset("the SPC asks for a key that this playback does not have")
    except UnknownAsset as error:
        raise refusals.spc_refused(error) from None


def _narrowed(grant: Grant, key: ContentKey) -> Grant:
    """The grant of one key, which is all that goes out and is recorded."""
    return replace(grant, keys=(key,), dropped={}, asked=replace(grant.asked, key_ids=(key.key_id,)))
