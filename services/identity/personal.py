"""What this service keeps of persons: accounts, and everything that hangs on them."""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa
from reelmesh.identity.v1 import events_pb2
from reelmesh.rpc.v1 import personal_data_service_pb2 as api
from sqlalchemy.dialects.postgresql import ARRAY, insert

from services.identity.accounts import store as accounts
from services.identity.sessions.keeping import Sessions
from services.identity.trust.feed import TrustFeed
from services.kit.clock import Clock, timestamp
from services.kit.database import Tx
from services.kit.events import announce
from services.kit.personal import (
    DataSubject,
    Declaration,
    Delete,
    Fades,
    Free,
    Match,
    Personal,
    account,
    either,
    through,
)

_MAIL_OF: Final = "(SELECT email FROM accounts WHERE account_id = :name)"
_SESSIONS: Final = Personal(
    "sessions",
    "where the person is and was signed in",
    account("account_id"),
    "session_id account_id organisation_id method client_id scope device_id profile_id user_agent network create_time refresh_time expire_time end_time",
    "",
    Delete(),
    {"key_thumbprint": "digest of a key"},
)
_SIGN_IN_USE: Final = {"use_request": "digest of a request"}

DECLARATION: Final = Declaration(
    personal=(
        Personal(
            "refresh_tokens",
            "what keeps sessions going",
            through("session_id", _SESSIONS),
            "session_id expire_time use_time",
            "",
            Delete(),
            {
                "token_sha256": "digest of a token",
                "successor_sha256": "digest of a token",
                "use_request": "digest of a request",
            },
        ),
        Personal(
            "passkey_challenges",
            "questions that devices were asked",
            account("account_id"),
            "account_id expire_time",
            "",
            Delete(),
            {"challenge_sha256": "digest of a question"},
        ),
        Personal(
            "passkeys",
            "passkeys of the person's devices",
            account("account_id"),
            "passkey_id account_id display_name authenticator_model transports backed_up sign_count create_time use_time",
            "",
            Delete(),
            {"credential_id": "belongs to a credential", "public_key": "belongs to a credential"},
        ),
        Personal(
            "passkey_users",
            "what devices know the person by",
            account("account_id"),
            "account_id",
            "",
            Delete(),
            {"user_handle": "belongs to a credential"},
        ),
        Personal(
            "oauth_authorizations",
            "apps that asked to act for the person",
            either(
                account("account_id"),
                through("session_id", _SESSIONS),
                Match(f":scope = '' AND login_hint <> '' AND login_hint = {_MAIL_OF}"),
            ),
            "authorization_id client_id account_id organisation_id scopes login_hint user_agent network create_time answer_time sign_in_time session_id",
            "redirect_uri silent fresh_sign_in fresh_consent max_age expire_time code_expire_time use_time",
            Delete(),
            {
                **_SIGN_IN_USE,
                "state": "the app's own",
                "nonce": "the app's own",
                "code_challenge": "the app's own",
                "code_sha256": "digest of a code",
            },
        ),
        Personal(
            "oauth_device_authorizations",
            "televisions that asked to act for the person",
            either(account("finder"), through("session_id", _SESSIONS)),
            "device_authorization_id client_id finder scopes user_agent network create_time answer_time approved organisation_id sign_in_time session_id",
            "expire_time interval poll_time use_time",
            Delete(),
            {**_SIGN_IN_USE, "device_sha256": "digest of a code", "user_code_digest": "digest of a code"},
        ),
        Personal(
            "oauth_consents",
            "what apps may do for the person",
            account("account_id"),
            "account_id client_id scopes grant_time",
            "",
            Delete(),
        ),
        Personal(
            "sso_identities",
            "accounts elsewhere that are linked with this one",
            account("account_id"),
            "provider_id subject account_id email link_time",
            "",
            Delete(),
        ),
        Personal(
            "sso_link_codes",
            "links that were begun",
            account("account_id"),
            "provider_id account_id expire_time",
            "",
            Delete(),
            {"code_sha256": "digest of a code"},
        ),
        Personal(
            "sso_sign_ins",
            "sign-ins at outside providers",
            either(
                account("link_account_id"),
                through("session_id", _SESSIONS),
                Match(f":scope = '' AND email <> '' AND email = {_MAIL_OF}"),
            ),
            "sign_in_id provider_id link_account_id subject email email_verified display_name create_time take_time session_id",
            "expire_time code_expire_time use_time",
            Delete(),
            {
                **_SIGN_IN_USE,
                "state_sha256": "digest of a secret",
                "challenge": "digest of a secret",
                "link_code_sha256": "digest of a code",
                "take_request": "digest of a request",
                "code_sha256": "digest of a code",
            },
        ),
        _SESSIONS,
        Personal(
            "memberships",
            "organisations that the person belongs to",
            account("account_id"),
            "organisation_id account_id role_ids create_time",
            "",
            Delete(),
        ),
        Personal(
            "profiles",
            "profiles of the household",
            account("account_id"),
            "profile_id account_id display_name avatar_colour maturity_rating language kids create_time",
            "version",
            Delete(),
            {"pin_digest": "digest of a secret"},
        ),
        Personal(
            "devices",
            "the person's devices",
            account("account_id"),
            "device_id account_id display_name platform model create_time use_time revoke_time",
            "",
            Delete(),
            {"key_thumbprint": "digest of a key"},
        ),
        Personal(
            "processing_limits",
            "what the person does not want done with their data",
            account("account_id"),
            "account_id limits locked change_time",
            "",
            Delete(),
        ),
        Personal(
            "revocations",
            "tokens that are refused before their time",
            account("subject"),
            "subject not_before",
            "forget_time change_time",
            Fades("within the quarter of an hour in which tokens of an erased account must be refused"),
        ),
        Personal(
            "accounts",
            "the account",
            account("account_id"),
            "account_id email display_name phone language tier create_time lock_time",
            "version",
            Delete(),
            {"password_hash": "digest of a secret"},
        ),
    ),
    names={"accounts": ("email", "phone")},
    free=(
        Free("attempts", "counts by keyed digests, gone within a day", "key failures blocked_until forget_time"),
        Free(
            "codes",
            "one-time codes with a sealed purpose, gone a day after a quarter of an hour",
            "code_id digest tries sealed_purpose expire_time use_time",
        ),
        Free(
            "messages",
            "sealed messages on their way, gone within a quarter of an hour",
            "message_id sealed tries next_try_time expire_time",
        ),
        Free(
            "api_keys",
            "keys of organisations",
            "key_id organisation_id key_sha256 prefix display_name permissions create_time expire_time use_time revoke_time",
        ),
        Free(
            "oauth_clients",
            "apps of organisations",
            "client_id organisation_id version display_name redirect_uris secret_sha256 grants scopes create_time use_time post_logout_redirect_uris",
        ),
        Free("organisations", "organisations", "organisation_id version display_name tier create_time"),
        Free("roles", "roles of organisations", "role_id organisation_id version display_name permissions"),
        Free(
            "signing_keys",
            "keys that sign tokens",
            "key_id sealed_private_key public_key create_time sign_from verify_until",
        ),
        Free(
            "sso_providers",
            "outside providers of organisations",
            "provider_id organisation_id version display_name issuer client_id sealed_secret email_domains provisioning role_ids create_time",
        ),
    ),
)

_limits: Final = sa.Table(
    "processing_limits",
    sa.MetaData(),
    sa.Column("account_id", sa.Text, primary_key=True),
    sa.Column("limits", ARRAY(sa.SmallInteger)),
    sa.Column("locked", sa.Boolean),
    sa.Column("change_time", sa.DateTime(timezone=True)),
)


class IdentityActs:
    """Ends the sessions of whoever is erased, and locks accounts whose data may only be stored."""

    def __init__(self, clock: Clock, sessions: Sessions, feed: TrustFeed) -> None:
        self._clock = clock
        self._sessions = sessions
        self._feed = feed

    async def before_erasure(self, tx: Tx, subject: DataSubject) -> None:
        """Ends the sessions; tokens that are out are refused within a second."""
        if subject.scope or await accounts.find(tx, subject.name, for_update=True) is None:
            return
        await self._sessions.end_all(tx, subject.name, events_pb2.SESSION_END_ACCOUNT_ERASED)
        await self._feed.revoke(tx, subject.name)

    async def limited(self, tx: Tx, subject: DataSubject, limits: frozenset[int]) -> frozenset[int]:
        """Locks the account while its data may only be stored. A lock by staff stays when the limit is lifted."""
        found = None if subject.scope else await accounts.find(tx, subject.name, for_update=True)
        if found is None:
            return frozenset()
        now = self._clock.now()
        before = (
            await tx.execute(sa.select(_limits.c.locked).where(_limits.c.account_id == subject.name))
        ).scalar_one_or_none()
        ours, stored_only = bool(before), api.PROCESSING_LIMIT_STORAGE_ONLY in limits
        after = found.locked(now) if stored_only else found.unlocked() if ours else found
        if after is not found:
            await accounts.put(tx, after)
            if stored_only:
                await self._sessions.end_all(tx, subject.name, events_pb2.SESSION_END_ACCOUNT_LOCKED)
                await self._feed.revoke(tx, subject.name)
            await announce(
                tx,
                events_pb2.AccountChanged(
                    account_id=after.account_id,
                    tier=after.tier,
                    locked=after.lock_time is not None,
                    actor="service/compliance",
                    change_time=timestamp(now),
                ),
            )
        values = {
            "limits": sorted(limits),
            "locked": stored_only and (ours or after is not found),
            "change_time": now,
        }
        await tx.execute(
            insert(_limits)
            .values(account_id=subject.name, **values)
            .on_conflict_do_update(index_elements=["account_id"], set_=values)
        )
        return limits & {api.PROCESSING_LIMIT_STORAGE_ONLY}
