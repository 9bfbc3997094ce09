"""The profiles contract."""

from __future__ import annotations

from typing import Any, Final, TypeVar

import grpc
from google.protobuf.message import Message
from reelmesh.identity.v1 import events_pb2, profiles_pb2, profiles_service_pb2_grpc
from reelmesh.identity.v1 import profiles_service_pb2 as api

from services.identity.accounts.password_sign_in import PasswordSignIn
from services.identity.callers import caller, own_account, own_session
from services.identity.profiles import store
from services.identity.profiles.domain import (
    MOST,
    Profile,
    chosen_colour,
    first_rating,
    limit_reached,
    profile_not_found,
)
from services.identity.profiles.pins import PinGate, Wish
from services.identity.sessions import store as sessions
from services.identity.sessions.keeping import Sessions
from services.kit.clock import Clock, timestamp
from services.kit.database import Database, Tx
from services.kit.events import announce
from services.kit.idempotency import first_answer, remember
from services.kit.ids import new_id
from services.kit.pagination import page_of
from services.kit.server import current_call

Context = grpc.aio.ServicerContext[Any, Any]
Request = TypeVar("Request", bound=Message)
_SECRETS: Final = frozenset({"pin", "new_pin", "password"})


class ProfilesServicer(profiles_service_pb2_grpc.ProfilesServiceServicer):
    """Serves `reelmesh.identity.v1.ProfilesService`. The account is locked while its profiles are changed or entered."""

    def __init__(
        self, database: Database, clock: Clock, *, gate: PinGate, sessions: Sessions, password_sign_in: PasswordSignIn
    ) -> None:
        self._database = database
        self._clock = clock
        self._gate = gate
        self._sessions = sessions
        self._password_sign_in = password_sign_in

    async def CreateProfile(self, request: api.CreateProfileRequest, context: Context) -> api.CreateProfileResponse:
        """Makes a profile."""
        async with self._database.transaction() as tx:
            account = await own_account(tx, for_update=True)
            if earlier := await first_answer(tx, account.account_id, _bare(request), api.CreateProfileResponse):
                return earlier
            household = await store.of_account(tx, account.account_id)
            session = await own_session(tx)
            refused = await self._gate.refused(tx, Wish(session, household, None), request.pin)
            if not refused:
                if len(household) >= MOST:
                    raise limit_reached()
                profile = self._made(request, account.account_id)
                await store.add(tx, profile)
                await self._announce_made(tx, profile)
                answer = api.CreateProfileResponse(profile=_resource(profile))
                await remember(tx, account.account_id, _bare(request), answer)
        if refused:
            raise refused
        return answer

    async def GetProfile(self, request: api.GetProfileRequest, context: Context) -> api.GetProfileResponse:
        """One profile."""
        async with self._database.transaction() as tx:
            wish = await self._wish(tx, request.profile_id)
        return api.GetProfileResponse(profile=_resource(_of(wish, request.profile_id), wish.session.profile_id))

    async def ListProfiles(self, request: api.ListProfilesRequest, context: Context) -> api.ListProfilesResponse:
        """All profiles."""
        part = page_of(request)
        async with self._database.transaction() as tx:
            found = await store.page(tx, caller().account_id, part)
            session = await own_session(tx)
        shown = found[: part.size]
        return api.ListProfilesResponse(
            profiles=[_resource(one, session.profile_id) for one in shown],
            next_page_token=part.next_token(shown[-1].profile_id) if len(found) > part.size else "",
        )

    async def UpdateProfile(self, request: api.UpdateProfileRequest, context: Context) -> api.UpdateProfileResponse:
        """Changes fields."""
        async with self._database.transaction() as tx:
            account = await own_account(tx, for_update=True)
            if earlier := await first_answer(tx, account.account_id, _bare(request), api.UpdateProfileResponse):
                return earlier
            wish = await self._wish(tx, request.profile.profile_id)
            before = _of(wish, request.profile.profile_id)
            refused = await self._gate.refused(tx, wish, request.pin)
            if not refused:
                after = before.checked(request.profile.etag).changed(request.update_mask.paths, request.profile)
                await self._put(tx, after)
                answer = api.UpdateProfileResponse(profile=_resource(after, wish.session.profile_id))
                await remember(tx, account.account_id, _bare(request), answer)
        if refused:
            raise refused
        return answer

    async def SetProfilePin(self, request: api.SetProfilePinRequest, context: Context) -> api.SetProfilePinResponse:
        """Sets or removes a PIN."""
        if request.password:
            async with self._database.transaction() as tx:
                asking = await own_account(tx)
            await self._password_sign_in.confirm(asking, request.password, current_call().client)
        async with self._database.transaction() as tx:
            account = await own_account(tx, for_update=True)
            if earlier := await first_answer(tx, account.account_id, _bare(request), api.SetProfilePinResponse):
                return earlier
            wish = await self._wish(tx, request.profile_id, always=True)
            before = _of(wish, request.profile_id)
            refused = None if request.password else await self._gate.refused(tx, wish, request.pin)
            if not refused:
                after = before.with_pin(self._gate.digest(before.profile_id, request.new_pin))
                await self._put(tx, after)
                answer = api.SetProfilePinResponse(profile=_resource(after, wish.session.profile_id))
                await remember(tx, account.account_id, _bare(request), answer)
        if refused:
            raise refused
        return answer

    async def DeleteProfile(self, request: api.DeleteProfileRequest, context: Context) -> api.DeleteProfileResponse:
        """Removes a profile."""
        async with self._database.transaction() as tx:
            account = await own_account(tx, for_update=True)
            wish = await self._wish(tx, request.profile_id)
            if wish.target is None:
                return api.DeleteProfileResponse()
            refused = await self._gate.refused(tx, wish, request.pin)
            if not refused:
                await sessions.leave_profile(tx, wish.target.profile_id)
                await store.remove(tx, wish.target.profile_id)
                await announce(
                    tx,
                    events_pb2.ProfileDeleted(
                        account_id=account.account_id,
                        profile_id=wish.target.profile_id,
                        delete_time=timestamp(self._clock.now()),
                    ),
                )
        if refused:
            raise refused
        return api.DeleteProfileResponse()

    async def SelectProfile(self, request: api.SelectProfileRequest, context: Context) -> api.SelectProfileResponse:
        """Lets the session be in a profile."""
        async with self._database.transaction() as tx:
            account = await own_account(tx, for_update=True)
            wish = await self._wish(tx, request.profile_id, enters=True)
            profile = _of(wish, request.profile_id)
            refused = await self._gate.refused(tx, wish, request.pin)
            if not refused:
                # A child must not go on with a token of before.
                stricter = profile.kids and not (wish.current and wish.current.kids)
                tokens = await self._sessions.in_profile(
                    tx, wish.session, profile.profile_id, account.tier, ends_older=stricter
                )
                await announce(
                    tx,
                    events_pb2.ProfileSelected(
                        account_id=account.account_id,
                        profile_id=profile.profile_id,
                        session_id=wish.session.session_id,
                        select_time=timestamp(self._clock.now()),
                    ),
                )
        if refused:
            raise refused
        return api.SelectProfileResponse(tokens=tokens)

    async def _wish(self, tx: Tx, profile_id: str, *, enters: bool = False, always: bool = False) -> Wish:
        household = await store.of_account(tx, caller().account_id)
        session = await own_session(tx, for_update=enters)
        target = next((one for one in household if one.profile_id == profile_id), None)
        return Wish(session, household, target, enters=enters, always=always)

    def _made(self, request: api.CreateProfileRequest, account_id: str) -> Profile:
        profile_id = new_id("prf")
        return Profile(
            profile_id=profile_id,
            account_id=account_id,
            version=1,
            display_name=request.display_name,
            avatar_colour=request.avatar_colour or chosen_colour(profile_id),
            maturity_rating=request.maturity_rating or first_rating(kids=request.kids),
            language=request.language,
            kids=request.kids,
            pin_digest=self._gate.digest(profile_id, request.new_pin),
            create_time=self._clock.now(),
        ).allowed()

    async def _announce_made(self, tx: Tx, profile: Profile) -> None:
        await announce(
            tx,
            events_pb2.ProfileCreated(
                account_id=profile.account_id,
                profile_id=profile.profile_id,
                maturity_rating=profiles_pb2.MaturityRating.ValueType(profile.maturity_rating),
                kids=profile.kids,
                create_time=timestamp(profile.create_time),
            ),
        )

    async def _put(self, tx: Tx, profile: Profile) -> None:
        await store.put(tx, profile)
        await announce(
            tx,
            events_pb2.ProfileChanged(
                account_id=profile.account_id,
                profile_id=profile.profile_id,
                maturity_rating=profiles_pb2.MaturityRating.ValueType(profile.maturity_rating),
                kids=profile.kids,
                change_time=timestamp(self._clock.now()),
            ),
        )


def _of(wish: Wish, profile_id: str) -> Profile:
    if wish.target is None:
        raise profile_not_found(profile_id)
    return wish.target


def _bare(request: Request) -> Request:
    """The request without PINs and passwords: of what is remembered of it, a PIN could be found by trying."""
    bare = type(request)()
    bare.CopyFrom(request)
    for field in _SECRETS & set(request.DESCRIPTOR.fields_by_name):
        bare.ClearField(field)
    return bare


def _resource(profile: Profile, current: str = "") -> profiles_pb2.Profile:
    return profiles_pb2.Profile(
        profile_id=profile.profile_id,
        account_id=profile.account_id,
        display_name=profile.display_name,
        avatar_colour=profile.avatar_colour,
        maturity_rating=profiles_pb2.MaturityRating.ValueType(profile.maturity_rating),
        language=profile.language,
        kids=profile.kids,
        has_pin=profile.pin_digest is not None,
        create_time=timestamp(profile.create_time),
        current=profile.profile_id == current,
        etag=profile.etag,
    )
