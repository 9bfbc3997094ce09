"""What can be set about anchoring. Without anything, there is none."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from pydantic import Field, SecretStr, model_validator

from services.kit.settings import ProcessSettings


class AnchoringSettings(ProcessSettings):
    """Settings of anchoring."""

    compliance_anchoring_every_seconds: float = Field(
        default=3600,
        gt=0,
        description="Seconds between two anchors of one kind, at least. Each is of the latest checkpoint, so it is for all leaves that came meanwhile.",
    )
    compliance_anchoring_evm_url: SecretStr = Field(
        default=SecretStr(""),
        description="URL of the JSON-RPC of a node of an EVM chain to anchor to. Empty: none. It often holds a key, and is shown nowhere.",
    )
    compliance_anchoring_evm_chain_id: int = Field(
        default=0, ge=0, lt=2**53, description="Id of that chain (EIP-155). A node of another one is sent nothing."
    )
    compliance_anchoring_evm_key_file: Path | None = Field(
        default=None,
        description="File with the private key of the account that pays, 64 hexadecimal digits; mode 0600. Use the key for nothing else.",
    )
    compliance_anchoring_evm_confirmations: int = Field(
        default=12, ge=1, le=100, description="Blocks, with the anchor's own, after which an anchor counts."
    )
    compliance_anchoring_evm_fee_cap_gwei: int = Field(
        default=1_000_000, gt=0, description="Most that one transaction may cost, in gwei (10^-9 of the chain's coin)."
    )
    compliance_anchoring_evm_patience: timedelta = Field(
        default=timedelta(minutes=5),
        description="How long a transaction waits to be mined before one with a higher fee may take its place.",
    )
    compliance_anchoring_evm_poll_seconds: float = Field(
        default=15, gt=0, description="Seconds between two looks at the chain."
    )
    compliance_anchoring_calendars: tuple[str, ...] = Field(
        default=(),
        description='JSON list of calendars of OpenTimestamps that take checkpoints, such as `["https://a.pool.opentimestamps.org", "https://ots.btc.catallaxy.com"]`. Empty: none.',
    )
    compliance_anchoring_calendars_needed: int = Field(
        default=1, ge=1, description="How many of them must take a checkpoint."
    )
    compliance_anchoring_calendars_trusted: tuple[str, ...] = Field(
        default=(
            "https://*.calendar.opentimestamps.org",
            "https://*.calendar.eternitywall.com",
            "https://*.calendar.catallaxy.com",
        ),
        description="JSON list of patterns of calendars that may be asked what became of a checkpoint, besides those that took it.",
    )
    compliance_anchoring_calendars_poll_seconds: float = Field(
        default=600, gt=0, description="Seconds between two looks at the calendars."
    )

    @model_validator(mode="after")
    def _whole(self) -> AnchoringSettings:
        wanted, file = self.compliance_anchoring_evm_url.get_secret_value(), self.compliance_anchoring_evm_key_file
        if wanted and (not self.compliance_anchoring_evm_chain_id or file is None):
            raise ValueError(
                "to anchor to an EVM chain, set REELMESH_COMPLIANCE_ANCHORING_EVM_CHAIN_ID and …_EVM_KEY_FILE too"
            )
        return self
