"""Releases: taken in, looked at, and taken back by the performer or on their behalf."""

from __future__ import annotations

import secrets
from datetime import datetime
from typing import Final

from reelmesh.compliance.v1 import events_pb2
from reelmesh.compliance.v1 import productions_service_pb2 as api

from services.compliance.performers import copies, messages, refusals, store
from services.compliance.performers.announcements import changed
from services.compliance.performers.domain import Production, Release, Reviewed, State, day_of, is_expired, last_day_of
from services.compliance.performers.office import Office, caller, copies_of
from services.kit.clock import timestamp
from services.kit.database import Tx
from services.kit.events import announce
from services.kit.idempotency import first_answer, remember
from services.kit.ids import new_id

PERFORMER: Final = "performer"
"""Actor of what a performer did by their token."""
_TOKEN_BYTES: Final = 32


class Releases:
    """Keeps releases."""

    def __init__(self, office: Office) -> None:
        self._office = office

    async def submit(self, request: api.SubmitReleaseRequest) -> api.SubmitReleaseResponse:
        """Takes a copy of a release in."""
        whose, who = caller()
        now, release_id = self._office.clock.now(), new_id("rel")
        release = Release(
            release_id,
            request.production_id,
            request.performer_id,
            whose,
            day_of(request.sign_date, "sign_date"),
            last_day_of(request.expire_date, "expire_date"),
            Reviewed(State.SUBMITTED, who, now),
        )
        if is_expired(release.expire_date, now):
            raise refusals.record_expired(release_id, request.expire_date)
        async with self._office.database.transaction() as tx:
            if earlier := await first_answer(tx, whose, request, api.SubmitReleaseResponse):
                return earlier
            _depicted(await store.find_production(tx, whose, request.production_id), request.performer_id)
        copy = await self._office.copies.put(release_id, whose, request.copy, now)
        async with self._office.database.transaction() as tx:
            if earlier := await first_answer(tx, whose, request, api.SubmitReleaseResponse):
                return earlier
            await store.lock(tx, whose)
            _depicted(await store.find_production(tx, whose, request.production_id), request.performer_id)
            await store.add_release(tx, release)
            await copies.name(tx, release_id)
            await announce(tx, changed(release, events_pb2.RECORD_CHANGE_SUBMITTED, who, now))
            answer = api.SubmitReleaseResponse(release=messages.release(release, copy))
            await remember(tx, whose, request, answer)
        return answer

    async def open(self, request: api.OpenReleaseRequest) -> api.OpenReleaseResponse:
        """Shows a copy."""
        async with self._office.database.transaction() as tx:
            release = await store.find_release(tx, caller()[0], request.release_id)
            content = await self._office.opened(tx, release, request.purpose)
            known = await copies_of(tx, [release])
        return api.OpenReleaseResponse(release=messages.release(release, known.get(release.release_id)), copy=content)

    async def review(self, request: api.ReviewReleaseRequest) -> api.ReviewReleaseResponse:
        """Says whether a release is good."""
        whose, _ = caller()
        async with self._office.database.transaction() as tx:
            await store.lock(tx, whose)
            release = await store.find_release(tx, whose, request.release_id)
            after = await self._office.reviewed(tx, release, approved=request.approved, comment=request.comment)
            await self._settle(tx, after, self._office.clock.now())
            known = await copies_of(tx, [after])
        return api.ReviewReleaseResponse(release=messages.release(after, known.get(after.release_id)))

    async def token(self, request: api.CreateWithdrawalTokenRequest) -> api.CreateWithdrawalTokenResponse:
        """Makes the token by which the performer takes a release back, in place of the one before."""
        whose, _ = caller()
        token = secrets.token_urlsafe(_TOKEN_BYTES)
        async with self._office.database.transaction() as tx:
            if earlier := await first_answer(tx, whose, request, api.CreateWithdrawalTokenResponse):
                return earlier
            release = await store.find_release(tx, whose, request.release_id)
            await store.keep_token(tx, release.release_id, self._digest(token))
            await remember(tx, whose, request, api.CreateWithdrawalTokenResponse())
        # In the fragment, which no server is sent.
        url = f"{self._office.public_url.rstrip('/')}/withdraw#token={token}"
        return api.CreateWithdrawalTokenResponse(token=token, withdrawal_url=url)

    async def withdraw(self, request: api.WithdrawReleaseRequest) -> api.WithdrawReleaseResponse:
        """Takes consent back on the performer's behalf."""
        whose, who = caller()
        async with self._office.database.transaction() as tx:
            release = await store.find_release(tx, whose, request.release_id)
            await self._withdrawn(tx, release, who)
            after = await store.find_release(tx, whose, request.release_id)
            known = await copies_of(tx, [after])
        return api.WithdrawReleaseResponse(release=messages.release(after, known.get(after.release_id)))

    async def withdraw_by_token(self, request: api.WithdrawConsentByTokenRequest) -> api.WithdrawConsentByTokenResponse:
        """Takes consent back by whoever holds the token."""
        async with self._office.database.transaction() as tx:
            release = await store.release_by_token(tx, self._digest(request.token))
            if release is None:
                raise refusals.token_invalid()
            await self._withdrawn(tx, release, PERFORMER)
            after = await store.find_release(tx, release.organisation_id, release.release_id)
        return api.WithdrawConsentByTokenResponse(withdraw_time=timestamp(after.withdraw_time))

    async def _withdrawn(self, tx: Tx, release: Release, who: str) -> None:
        """Takes back all of the performer's releases for the production. What was taken back, or never found good, stays as it is."""
        await store.lock(tx, release.organisation_id)
        now = self._office.clock.now()
        taken = await store.withdraw(tx, release, now)
        for one in taken:
            await announce(tx, changed(one, events_pb2.RECORD_CHANGE_WITHDRAWN, who, now))
        if taken:
            await self._settle(tx, release, now)

    async def _settle(self, tx: Tx, release: Release, now: datetime) -> None:
        production = await store.find_production(tx, release.organisation_id, release.production_id)
        await self._office.consents.settle(tx, release.organisation_id, production.asset_ids, now)

    def _digest(self, token: str) -> bytes:
        return self._office.install.digest("withdrawal token", token)


def _depicted(production: Production, performer_id: str) -> None:
    if performer_id not in production.performer_ids:
        raise refusals.not_depicted(performer_id, production.production_id)
