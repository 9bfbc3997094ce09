"""What can be set about the audit log."""

from __future__ import annotations

from typing import Final

from pydantic import Field

from services.compliance.log.witnesses import WitnessSettings
from services.kit.settings import ProcessSettings

LOG_KEY_FILE: Final = "audit_log_key"
"""Secret file with the seed of the Ed25519 key that signs checkpoints, 32 bytes (RFC 8032)."""
COMPLIANCE_KEY_FILE: Final = "compliance_key"
"""Secret file with the key that seals what the service keeps, 32 bytes."""


class AuditLogSettings(ProcessSettings):
    """Settings of the audit log."""

    compliance_audit_origin: str = Field(
        default="",
        pattern=r"^[^\s+]*$",
        description="Name of the log in its checkpoints, such as `example.com/audit`. It cannot be changed once the log was begun. Empty: `<trust domain of the install>/audit`.",
    )
    compliance_audit_witnesses: tuple[WitnessSettings, ...] = Field(
        default=(), description="JSON list of witnesses whose cosignatures are taken: `[{key, url}]`."
    )
    compliance_audit_witness_seconds: float = Field(
        default=60, gt=0, description="Seconds between two checkpoints that witnesses are asked to cosign."
    )
    compliance_audit_publish_seconds: float = Field(
        default=1, gt=0, description="Seconds between two looks for tiles to publish."
    )
    compliance_audit_upkeep_seconds: float = Field(
        default=600, gt=0, description="Seconds between two removals of old checkpoints."
    )
