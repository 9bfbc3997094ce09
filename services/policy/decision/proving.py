"""Which proof of age is good for what, and until when. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from services.policy.decision.facts import AgeProof, Facts
from services.policy.decision.law import AgeLaw


def good_until(proof: AgeProof, threshold: int, laws: Sequence[AgeLaw], device_id: str) -> datetime | None:
    """Until when a proof is good for an age, under all of the laws; None when it is not good for that at all.

    Args:
        proof: the proof.
        threshold: age that is asked for.
        laws: those that ask for it, each of which has to accept the proof.
        device_id: device that is watched on; empty when it is not known.
    """
    if proof.threshold < threshold:
        return None
    end = proof.expire_time
    for law in laws:
        accepted = next((one for one in law.methods if one.method == proof.method), None)
        if accepted is None or (accepted.each_device and not (device_id and proof.device_id == device_id)):
            return None
        if accepted.good_for is not None:
            if proof.prove_time is None:
                return None
            end = min(end, proof.prove_time + accepted.good_for)
    return end


def methods_of(laws: Sequence[AgeLaw]) -> tuple[str, ...]:
    """Methods that all of the laws accept, in order; empty when there is none."""
    named = [{one.method for one in law.methods} for law in laws]
    return tuple(sorted(set.intersection(*named))) if named else ()


def proofs_last(facts: Facts) -> datetime | None:
    """Until when the viewer's proofs are good for a title's least age where they are; None when no proof is."""
    laws = facts.law.at(facts.place.territory, facts.now).ages
    threshold = max([facts.terms.least_age, *(law.threshold for law in laws)])
    ends = (good_until(proof, threshold, laws, facts.device.device_id) for proof in facts.viewer.age_proofs)
    return max((end for end in ends if end is not None), default=None)
