"""Grants licences: who asks, what they may have, and the keys for it. Every key system begins here and ends here.

    grant = await granting.granted(asked)        # the ticket, the policy service's decision, the licence policy; the keys, opened
    …                                            # the key system makes its licence of `grant.keys`
    await granting.issued(grant)                 # on disk; only now may it be answered

What `granted` refuses is recorded by it. Where a key system itself refuses after that, it says so by `refused`.
"""

from __future__ import annotations

import contextlib
from datetime import UTC
from typing import Final

from prometheus_client import Counter
from reelmesh.policy.v1 import policy_service_pb2

from services.drm.domain import key_not_found
from services.drm.licences import records, refusals
from services.drm.licences.asked import Asked, Grant, Proof
from services.drm.licences.asking import Asking
from services.drm.licences.journal import Journal, JournalFailed, JournalFull
from services.drm.licences.keyring import KeyRing
from services.drm.licences.knowledge import Knowledge
from services.drm.licences.policy import LicencePolicy
from services.kit.clock import Clock
from services.kit.dpop import HEADER as DPOP
from services.kit.dpop import Proofs
from services.kit.errors import Refusal
from services.kit.ids import new_id

__all__ = ["Asked", "Grant", "Granting", "Proof"]

ISSUED: Final = Counter("reelmesh_licences_issued_total", "Licences by key system and use.", ["key_system", "use"])
REFUSED: Final = Counter(
    "reelmesh_licences_refused_total", "Refused licences by key system and reason.", ["key_system", "reason"]
)


class Granting:
    """What key systems build on.

    Args:
        asking: asks the policy service.
        knowledge: the licence policies, and what was revoked.
        keyring: the keys.
        journal: where every licence is recorded before it is answered.
        proofs: checks what devices sign.
    """

    def __init__(
        self, asking: Asking, knowledge: Knowledge, keyring: KeyRing, journal: Journal, *, proofs: Proofs, clock: Clock
    ) -> None:
        self._asking = asking
        self._knowledge = knowledge
        self._keyring = keyring
        self._journal = journal
        self._proofs = proofs
        self._clock = clock

    async def granted(self, asked: Asked) -> Grant:
        """Decides, and opens the keys.

        Raises:
            Refusal: the policy service's own; KEY_NOT_FOUND, KEYSTORE_LOCKED, SECURITY_LEVEL_TOO_LOW, OUTPUT_UNPROTECTED,
                OFFLINE_NOT_ALLOWED, LICENCE_REVOKED, DEVICE_NOT_PROVEN; DEPENDENCY_UNAVAILABLE. With a good ticket it is recorded.
        """
        decision = await self._asking.decided(self._ask(asked))
        try:
            if decision.HasField("refusal"):
                raise Refusal.from_status(decision.refusal)
            return await self._grant(asked, decision)
        except Refusal as refusal:
            await self._record_refusal(asked, refusal, decision)
            raise

    async def issued(self, grant: Grant) -> None:
        """Records the licence; returns once the record is on disk. Only then may the licence be answered.

        Raises:
            Refusal: LICENCE_UNRECORDED.
        """
        await self._recorded(records.issue(grant))
        ISSUED.labels(grant.asked.key_system, "offline" if grant.offline else "online").inc()

    async def refused(self, grant: Grant, refusal: Refusal) -> None:
        """Records that a key system refused what was granted, such as for a message that it cannot read."""
        record = records.refusal(
            grant.asked,
            refusal,
            self._clock.now(),
            session_id=grant.session_id,
            organisation_id=grant.organisation_id,
            viewer_id=grant.viewer_id,
            device_id=grant.device_id,
        )
        await self._note(record, grant.asked.key_system, refusal.reason)

    def _ask(self, asked: Asked) -> policy_service_pb2.KeysAsked:
        proven = "" if asked.proof is None else self._proven(asked.proof, asked.ticket)
        return policy_service_pb2.KeysAsked(
            ticket=asked.ticket,
            package_id=asked.package_id,
            key_ids=[key_id.hex() for key_id in asked.key_ids or ()],
            client_address=asked.address,
            user_agent=asked.user_agent,
            key_thumbprint=proven,
            offline=asked.offline,
        )

    def _proven(self, proof: Proof, ticket: str) -> str:
        """Thumbprint of the key that the player holds; empty when it brought no proof.

        Raises:
            Refusal: PROOF_INVALID.
        """
        return self._proofs.proven(proof.metadata, proof.method, ticket) if DPOP in proof.metadata else ""

    async def _grant(self, asked: Asked, decision: policy_service_pb2.KeysDecision) -> Grant:
        policy = self._knowledge.policy(decision.organisation_id)
        self._allowed(asked, decision, policy)
        now, package_id = self._clock.now(), asked.package_id
        labels = await self._keyring.labels(package_id, [bytes.fromhex(key_id) for key_id in decision.key_ids])
        if not labels:
            raise key_not_found(package_id)
        found = policy.sorted_out(labels, asked.security_level, asked.hdcp)
        if not found.kept:
            named = sorted(labels.values())
            raise refusals.dropped(next(iter(found.dropped.values())), named, policy.loosest(named))
        ends = decision.expire_time.ToDatetime(UTC)
        return Grant(
            licence_id=new_id("lic"),
            session_id=decision.session_id,
            organisation_id=decision.organisation_id,
            viewer_id=decision.viewer_id,
            device_id=decision.device_id,
            package_id=package_id,
            keys=await self._keyring.opened(package_id, found.kept),
            dropped=found.dropped,
            policy=policy,
            session_expire_time=ends,
            issue_time=now,
            expire_time=policy.expire_time(now, ends, offline=asked.offline),
            offline=asked.offline,
            asked=asked,
        )

    def _allowed(self, asked: Asked, decision: policy_service_pb2.KeysDecision, policy: LicencePolicy) -> None:
        if policy.device_required and not decision.device_proven:
            raise refusals.device_not_proven(decision.device_id)
        if asked.offline and not policy.offline:
            raise refusals.offline_not_allowed("licence_policy")
        if asked.offline and not decision.download:
            raise refusals.offline_not_allowed("playback")
        if licence_id := self._knowledge.revoked(decision.session_id, asked.package_id):
            raise refusals.licence_revoked(licence_id)

    async def _record_refusal(self, asked: Asked, refusal: Refusal, decision: policy_service_pb2.KeysDecision) -> None:
        if not decision.session_id:  # nobody's: there is nothing to tell but a number
            REFUSED.labels(asked.key_system, refusal.reason).inc()
            return
        record = records.refusal(
            asked,
            refusal,
            self._clock.now(),
            session_id=decision.session_id,
            organisation_id=decision.organisation_id,
            viewer_id=decision.viewer_id,
            device_id=decision.device_id,
        )
        await self._note(record, asked.key_system, refusal.reason)

    async def _note(self, record: records.Record, key_system: str, reason: str) -> None:
        """Records a refusal, if it can be: whoever is refused is refused anyway."""
        REFUSED.labels(key_system, reason).inc()
        with contextlib.suppress(Refusal):
            await self._recorded(record)

    async def _recorded(self, record: records.Record) -> None:
        try:
            await self._journal.append(record.packed())
        except JournalFull:
            raise refusals.unrecorded("full") from None
        except JournalFailed:
            raise refusals.unrecorded("failed") from None
