"""What other services announce of viewers and films becomes facts that decisions go by. Events come in any order, and more than once."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import partial

from google.protobuf.timestamp_pb2 import Timestamp
from reelmesh.compliance.v1 import events_pb2 as compliance
from reelmesh.identity.v1 import events_pb2 as identity
from reelmesh.payments.v1 import events_pb2 as payments
from reelmesh.policy.v1 import events_pb2 as policy

from services.kit import events
from services.kit.clock import Clock, timestamp
from services.kit.database import Tx, after_commit
from services.policy import holds
from services.policy import store as sessions_store
from services.policy.announcements import consent_applied, revocation
from services.policy.decision import jurisdictions, people, store, tiers
from services.policy.decision.facts import AgeProof, Consent, Entitlement
from services.policy.decision.review import ASSET, ORGANISATION, VIEWER, Review, Target
from services.policy.decision.store import KnownAccount
from services.policy.holds import NO_HOLD, Hold
from services.policy.judge import CONSENT, Known
from services.policy.signals.store import keep_sign_in

HoldEvent = compliance.MaterialTakenDown | compliance.MaterialRestricted | compliance.MaterialRestored
DEVICE_REVOKED = "the device was revoked"


class FactProjection:
    """Handlers of the events. Each keeps the fact, and asks for a review of the sessions that rest on it."""

    def __init__(self, review: Review, known: Known, clock: Clock) -> None:
        self._review = review
        self._known = known
        self._clock = clock

    def handlers(self) -> dict[type, events.Handler]:
        """Each kind of event with its handler."""
        return {
            identity.AccountCreated: self.account_created,
            identity.AccountChanged: self.account_changed,
            identity.SessionOpened: self.signed_in,
            identity.DeviceRegistered: self.device_registered,
            identity.DeviceRevoked: self.device_revoked,
            identity.ProfileCreated: self.profile_created,
            identity.ProfileChanged: self.profile_changed,
            identity.ProfileDeleted: self.profile_deleted,
            payments.EntitlementGranted: self.granted,
            payments.EntitlementRevoked: self.revoked,
            payments.SubscriptionChanged: self.subscribed,
            compliance.AgeProved: self.age_proved,
            compliance.AgeProofRevoked: self.age_proof_revoked,
            compliance.ConsentChanged: self.consent_changed,
            compliance.JurisdictionsChanged: self.jurisdictions_changed,
            compliance.TitleClassified: self.title_classified,
            compliance.RecordsRequirementChanged: self.records_requirement_changed,
            compliance.MaterialTakenDown: self.taken_down,
            compliance.MaterialRestricted: self.restricted,
            compliance.MaterialRestored: self.restored,
        }

    async def account_created(self, tx: Tx, data: bytes) -> None:
        """There is an account."""
        event = identity.AccountCreated.FromString(data)
        known = KnownAccount(event.tier, locked=False)
        await store.keep_account(tx, event.account_id, known, _moment(event.create_time))

    async def account_changed(self, tx: Tx, data: bytes) -> None:
        """An account is locked, unlocked, or in another tier."""
        event = identity.AccountChanged.FromString(data)
        known = KnownAccount(event.tier, event.locked)
        await store.keep_account(tx, event.account_id, known, _moment(event.change_time))
        await self._review.due(tx, Target(VIEWER, event.account_id, ""))

    async def signed_in(self, tx: Tx, data: bytes) -> None:
        """A person showed who they are."""
        event = identity.SessionOpened.FromString(data)
        await keep_sign_in(tx, event.account_id, _moment(event.open_time))

    async def device_registered(self, tx: Tx, data: bytes) -> None:
        """A person has a device."""
        event = identity.DeviceRegistered.FromString(data)
        moment = _moment(event.register_time)
        await people.keep_device(tx, event.device_id, event.account_id, moment, revoked=False)

    async def device_revoked(self, tx: Tx, data: bytes) -> None:
        """Nothing may be played on a device any more, whatever an organisation's rules say: its owner wants it so."""
        event = identity.DeviceRevoked.FromString(data)
        moment = _moment(event.revoke_time)
        await people.keep_device(tx, event.device_id, event.account_id, moment, revoked=True)
        for session in await sessions_store.revoke_on_device(tx, event.device_id, self._clock.now(), DEVICE_REVOKED):
            await events.announce(tx, revocation(session))
            after_commit(tx, partial(self._known.revoke, session.session_id, session.expire_time.timestamp()))

    async def profile_created(self, tx: Tx, data: bytes) -> None:
        """There is a profile."""
        event = identity.ProfileCreated.FromString(data)
        limit = people.age_of(event.maturity_rating)
        await people.keep_profile(tx, event.profile_id, event.account_id, limit, _moment(event.create_time))

    async def profile_changed(self, tx: Tx, data: bytes) -> None:
        """A profile may watch more or less than before."""
        event = identity.ProfileChanged.FromString(data)
        limit = people.age_of(event.maturity_rating)
        await people.keep_profile(tx, event.profile_id, event.account_id, limit, _moment(event.change_time))
        await self._review.due(tx, Target(VIEWER, event.account_id, ""))

    async def profile_deleted(self, tx: Tx, data: bytes) -> None:
        """A profile is gone: what it watched goes on only if it is for everybody."""
        event = identity.ProfileDeleted.FromString(data)
        await people.remove_profile(tx, event.profile_id, event.account_id, _moment(event.delete_time))
        await self._review.due(tx, Target(VIEWER, event.account_id, ""))

    async def granted(self, tx: Tx, data: bytes) -> None:
        """A viewer may watch something."""
        event = payments.EntitlementGranted.FromString(data)
        entitlement = Entitlement(
            event.entitlement_id,
            event.asset_id,
            _moment(event.start_time) if event.HasField("start_time") else None,
            _moment(event.end_time) if event.HasField("end_time") else None,
            tuple(event.territories),
            max_plays=event.max_plays,
            begin_by_time=_moment(event.begin_by_time) if event.HasField("begin_by_time") else None,
            watch=event.watch_duration.ToTimedelta() if event.HasField("watch_duration") else None,
        )
        await store.keep_entitlement(
            tx, event.organisation_id, event.viewer_id, entitlement, _moment(event.change_time)
        )
        await self._review.due(tx, Target(VIEWER, event.viewer_id, event.organisation_id), entitlement.end_time)

    async def revoked(self, tx: Tx, data: bytes) -> None:
        """A viewer may not watch something any more."""
        event = payments.EntitlementRevoked.FromString(data)
        moment = _moment(event.change_time)
        await store.end_entitlement(tx, event.entitlement_id, event.organisation_id, event.viewer_id, moment)
        await self._review.due(tx, Target(VIEWER, event.viewer_id, event.organisation_id))

    async def subscribed(self, tx: Tx, data: bytes) -> None:
        """A viewer is in a tier by what they subscribed to, or is not any more."""
        event = payments.SubscriptionChanged.FromString(data)
        end_time = _moment(event.tier_end_time) if event.HasField("tier_end_time") else None
        await tiers.keep(
            tx,
            event.subscription_id,
            event.organisation_id,
            event.viewer_id,
            tier=event.tier,
            end_time=end_time,
            moment=_moment(event.change_time),
        )
        await self._review.due(tx, Target(VIEWER, event.viewer_id, event.organisation_id), end_time)

    async def age_proved(self, tx: Tx, data: bytes) -> None:
        """A viewer is old enough for something."""
        event = compliance.AgeProved.FromString(data)
        moment = _moment(event.change_time)
        proof = AgeProof(event.threshold, _moment(event.expire_time), event.method, moment, event.device_id)
        await store.keep_age_proof(tx, event.organisation_id, event.viewer_id, proof, moment)
        await self._review.due(tx, Target(VIEWER, event.viewer_id, event.organisation_id), proof.expire_time)

    async def age_proof_revoked(self, tx: Tx, data: bytes) -> None:
        """A viewer's proof is not good any more."""
        event = compliance.AgeProofRevoked.FromString(data)
        moment = _moment(event.change_time)
        nothing = AgeProof(0, moment, event.method or store.ALL_METHODS)
        await store.keep_age_proof(tx, event.organisation_id, event.viewer_id, nothing, moment)
        await self._review.due(tx, Target(VIEWER, event.viewer_id, event.organisation_id))

    async def consent_changed(self, tx: Tx, data: bytes) -> None:
        """The consent of those who are seen in a film changed. Where it was taken back its packages are held at once, whatever rules say and however many
        watch; the sessions are ended besides."""
        event = compliance.ConsentChanged.FromString(data)
        before = await store.consent_of(tx, event.asset_id)
        await store.keep_consent(tx, event.asset_id, event.organisation_id, event.state, _moment(event.change_time))
        after = await store.consent_of(tx, event.asset_id)
        if after is Consent.WITHDRAWN:
            after_commit(tx, partial(self._known.hold_asset, event.asset_id, CONSENT))
        if (after is Consent.WITHDRAWN) != (before is Consent.WITHDRAWN):
            # All replicas look when they hear of it.
            applied = consent_applied(
                event.asset_id, event.organisation_id, self._clock.now(), held=after is Consent.WITHDRAWN
            )
            await events.announce(tx, applied)
        await self._review.due(tx, Target(ASSET, event.asset_id, event.organisation_id))

    async def jurisdictions_changed(self, tx: Tx, data: bytes) -> None:
        """Something else is asked for by place. What plays is looked at again now, and whenever a row begins or ends."""
        event = compliance.JurisdictionsChanged.FromString(data)
        moment = _moment(event.change_time)
        later = await jurisdictions.keep_table(tx, event.organisation_id, event.rules, moment)
        target = Target(ORGANISATION, event.organisation_id, event.organisation_id)
        await self._review.due(tx, target, *later)

    async def title_classified(self, tx: Tx, data: bytes) -> None:
        """A title is classified otherwise."""
        event = compliance.TitleClassified.FromString(data)
        moment = _moment(event.change_time)
        later = await jurisdictions.keep_classification(tx, event.organisation_id, event.classification, moment)
        await self._review.due(tx, Target(ASSET, event.asset_id, event.organisation_id), *later)

    async def records_requirement_changed(self, tx: Tx, data: bytes) -> None:
        """An organisation's films may be watched only where consent is complete, or wherever it was not announced to be missing."""
        event = compliance.RecordsRequirementChanged.FromString(data)
        moment = _moment(event.change_time)
        await store.keep_consent_requirement(tx, event.organisation_id, moment, required=event.required)
        await self._review.due(tx, Target(ORGANISATION, event.organisation_id, event.organisation_id))

    async def taken_down(self, tx: Tx, data: bytes) -> None:
        """A case lets a film be shown nowhere."""
        event = compliance.MaterialTakenDown.FromString(data)
        await self._hold(tx, event, Hold(taken_down=True))

    async def restricted(self, tx: Tx, data: bytes) -> None:
        """A case does not let a film be shown in some places."""
        event = compliance.MaterialRestricted.FromString(data)
        await self._hold(tx, event, Hold(territories=tuple(sorted(set(event.territories)))))

    async def restored(self, tx: Tx, data: bytes) -> None:
        """A case lets go of a film."""
        await self._hold(tx, compliance.MaterialRestored.FromString(data), NO_HOLD)

    async def _hold(self, tx: Tx, event: HoldEvent, hold: Hold) -> None:
        """Keeps what a case says of a film. Its packages are held, everywhere, as soon as the event that follows from it is heard; the sessions are
        revoked by the review, some at a time."""
        moment = _moment(event.change_time)
        await holds.keep(
            tx, event.asset_id, event.case_id, organisation_id=event.organisation_id, hold=hold, moment=moment
        )
        now = (await holds.holds_on(tx, [event.asset_id])).get(event.asset_id, NO_HOLD)
        changed = policy.TitleStandingChanged(
            asset_id=event.asset_id,
            organisation_id=event.organisation_id,
            taken_down=now.taken_down,
            refused_territories=now.territories,
            change_time=timestamp(self._clock.now()),
        )
        await events.announce(tx, changed)
        await self._review.due(tx, Target(ASSET, event.asset_id, event.organisation_id))


def _moment(stamp: Timestamp) -> datetime:
    return stamp.ToDatetime(tzinfo=UTC)
