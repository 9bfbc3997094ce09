"""What this service keeps of persons: nothing that can be told to be theirs."""

from __future__ import annotations

from typing import Final

from services.kit.personal import Declaration, Free

DECLARATION: Final = Declaration(
    personal=(),
    free=(
        Free(
            "buckets",
            "counts by keyed digests of callers and addresses, gone once they are full again",
            "bucket_key full_at refill span granted",
        ),
    ),
)
