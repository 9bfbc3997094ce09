"""Every refusal of FairPlay licences: what is wrong, and how to mend it. Reasons and metadata are those of `drm.proto`."""

from __future__ import annotations

from typing import Literal

import grpc

from services.drm.domain import DOMAIN
from services.drm.fairplay.conditions import CannotEnforce
from services.drm.fairplay.credentials import NotConfigured
from services.drm.fairplay.status import KsmError, UnusableParameter
from services.kit.errors import Refusal


def not_configured(error: NotConfigured) -> Refusal:
    """Something of the operator's is missing or not usable."""
    return Refusal(
        grpc.StatusCode.FAILED_PRECONDITION,
        "FAIRPLAY_NOT_CONFIGURED",
        f"FairPlay is not set up here: {error}; the operator finds what to obtain and where to put it in docs/drm.md",
        domain=DOMAIN,
        metadata={"missing": error.missing},
    )


def spc_refused(error: KsmError) -> Refusal:
    """The SPC gets no CKC."""
    return Refusal(
        grpc.StatusCode.INVALID_ARGUMENT,
        "FAIRPLAY_SPC_REFUSED",
        f"the SPC gets no answer ({error.status}): {error}; send what the device says, unchanged, and made with the certificate of this place",
        domain=DOMAIN,
        metadata={"status": str(error.status), "kind": error.kind},
    )


def spc_replayed(why: Literal["replayed", "stale"]) -> Refusal:
    """The SPC was answered before, or nobody can tell."""
    what = "was answered before" if why == "replayed" else "was made too long ago, or the device's clock is wrong"
    return Refusal(
        grpc.StatusCode.PERMISSION_DENIED,
        "FAIRPLAY_SPC_REPLAYED",
        f"the SPC {what}; have the device make a new one",
        domain=DOMAIN,
        metadata={"status": str(UnusableParameter.status), "why": why},
    )


def device_unfit(error: CannotEnforce) -> Refusal:
    """The device would not hold to what it is told."""
    return Refusal(
        grpc.StatusCode.PERMISSION_DENIED,
        "FAIRPLAY_DEVICE_UNFIT",
        f"the device does not say that it understands {error.condition}, which the licence policy needs; update the device",
        domain=DOMAIN,
        metadata={"condition": error.condition},
    )
