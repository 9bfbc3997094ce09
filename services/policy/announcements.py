"""Events of this service, put together from its domain."""

from __future__ import annotations

from datetime import datetime

from reelmesh.policy.v1 import events_pb2 as policy

from services.kit.clock import timestamp
from services.policy.domain import Session
from services.policy.revocations.store import Revocation, Target


def revocation(session: Session) -> policy.SessionRevoked:
    """The event that tells of a revoked session."""
    return policy.SessionRevoked(
        session_id=session.session_id,
        organisation_id=session.organisation_id,
        expire_time=timestamp(session.expire_time),
        revoke_time=timestamp(session.revoke_time),
    )


def creation(session: Session) -> policy.PlaybackCreated:
    """The event that tells of a new session."""
    return policy.PlaybackCreated(
        session_id=session.session_id,
        asset_id=session.asset_id,
        package_id=session.package_id,
        organisation_id=session.organisation_id,
        viewer_id=session.viewer_id,
        expire_time=timestamp(session.expire_time),
        create_time=timestamp(session.create_time),
    )


def use(session: Session, plays: int, begin_time: datetime) -> policy.EntitlementUsed:
    """The event that tells of a session that is a play of a limited entitlement."""
    return policy.EntitlementUsed(
        entitlement_id=session.entitlement_id,
        organisation_id=session.organisation_id,
        viewer_id=session.viewer_id,
        session_id=session.session_id,
        plays=plays,
        begin_time=timestamp(begin_time),
        use_time=timestamp(session.create_time),
    )


def consent_applied(asset_id: str, organisation_id: str, moment: datetime, *, held: bool) -> policy.ConsentApplied:
    """The event that tells whether an asset's packages are held because consent was taken back."""
    return policy.ConsentApplied(
        asset_id=asset_id, organisation_id=organisation_id, held=held, apply_time=timestamp(moment)
    )


def target_revoked(revoked: Revocation) -> policy.TargetRevoked:
    """The event that tells of a revoked viewer, device, asset or content key."""
    return policy.TargetRevoked(
        revocation_id=revoked.revocation_id,
        organisation_id=revoked.organisation_id,
        target=Target(revoked.target).word,
        target_id=revoked.target_id,
        actor=revoked.actor,
        revoke_time=timestamp(revoked.create_time),
    )


def revocation_lifted(lifted: Revocation, actor: str) -> policy.RevocationLifted:
    """The event that tells of a revocation that was lifted."""
    return policy.RevocationLifted(
        revocation_id=lifted.revocation_id,
        organisation_id=lifted.organisation_id,
        actor=actor,
        lift_time=timestamp(lifted.lift_time),
    )
