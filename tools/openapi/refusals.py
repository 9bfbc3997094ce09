"""With which HTTP statuses an operation is refused: those of the reasons that its contract documents, and those of the edge itself."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from tools.openapi.contracts import Contracts, Enum, Method

HTTP_STATUSES: Final[Mapping[str, int]] = {
    "CANCELLED": 499,
    "UNKNOWN": 500,
    "INVALID_ARGUMENT": 400,
    "DEADLINE_EXCEEDED": 504,
    "NOT_FOUND": 404,
    "ALREADY_EXISTS": 409,
    "PERMISSION_DENIED": 403,
    "RESOURCE_EXHAUSTED": 429,
    "FAILED_PRECONDITION": 400,
    "ABORTED": 409,
    "OUT_OF_RANGE": 400,
    "UNIMPLEMENTED": 501,
    "INTERNAL": 500,
    "UNAVAILABLE": 503,
    "DATA_LOSS": 500,
    "UNAUTHENTICATED": 401,
}
"""What Envoy makes of a gRPC status by REST, which is what `google.rpc.Code` says of each."""
_COMMON: Final = "reelmesh.rpc.v1.ErrorReason"
# The edge's own words for what never comes to a service: a request that did not arrive in time, a body or headers that are too large.
_OF_THE_EDGE: Final = frozenset({408, 413, 431})
_SCREAMING: Final = re.compile(r"\b[A-Z][A-Z_]+\b")


def statuses_named(comment: str) -> frozenset[str]:
    """gRPC statuses that the comment of a reason names."""
    _, _, said = comment.partition("Status ")
    return frozenset(_SCREAMING.findall(said)) & HTTP_STATUSES.keys()


class RefusalStatuses:
    """Knows the statuses of each domain's reasons."""

    def __init__(self, contracts: Contracts) -> None:
        self._of_enum = {
            name: _http_statuses(enum) for name, enum in contracts.enums.items() if name.endswith(".ErrorReason")
        }

    def of(self, method: Method) -> list[str]:
        """HTTP statuses with which a method may be refused, in order. A refusal of another domain that is passed on has one of them too."""
        own = f"{method.service.rpartition('.')[0]}.ErrorReason"
        found = self._of_enum.get(own, frozenset()) | self._of_enum.get(_COMMON, frozenset()) | _OF_THE_EDGE
        return [str(status) for status in sorted(found)]


def _http_statuses(enum: Enum) -> frozenset[int]:
    return frozenset(HTTP_STATUSES[code] for _, comment in enum.values for code in statuses_named(comment))
