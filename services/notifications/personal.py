"""What this service keeps of persons: nothing. Addresses and texts go to the provider and are not written down."""

from __future__ import annotations

from typing import Final

from services.kit.personal import Declaration, Free

DECLARATION: Final = Declaration(
    personal=(),
    free=(
        Free(
            "deliveries",
            "digests of messages' ids, so that none is sent twice",
            "message_sha256 claimed_until accept_time closed_reason create_time",
        ),
    ),
)
