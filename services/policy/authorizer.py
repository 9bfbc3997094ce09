"""The authoriser that our own Envoy asks about each playback request that it does not let through by itself: its `ext_authz` filter's HTTP
service, put in terms of the doors. Other people's edges ask by gRPC (`services.policy.edge`).

The request is asked about as it came, method, target and host; 200 lets it go on. A 5xx would be taken for trouble of ours and lose its body,
so a refusal for now comes as 424, of which Envoy makes 503 (`envoy/local_replies.yaml`).
"""

from __future__ import annotations

from typing import Final

from services.kit import telemetry
from services.kit.plain_http import Answer, Request
from services.kit.server import as_refusal
from services.policy.bearers import EdgeRequest
from services.policy.doors import Doors
from services.policy.verdicts import ALLOWED, SESSION_HEADER, TAKEN_AWAY, Denial

SERVER: Final = "policy.authorizer"
"""Its name in `services/callers.toml`, and of its socket."""
ADDRESS_HEADER: Final = "x-reelmesh-address"
"""The client's IP address, as Envoy knows it."""
PATH_HEADER: Final = "x-reelmesh-path"
"""Path that the request goes on with."""
TAKE_AWAY_HEADER: Final = "x-envoy-auth-headers-to-remove"
"""Envoy's own: what the request goes on without."""
_FOR_NOW: Final = 424
_TAKEN_AWAY: Final = (TAKE_AWAY_HEADER, ",".join(TAKEN_AWAY))


class Authorizer:
    """Answers Envoy."""

    def __init__(self, doors: Doors) -> None:
        self._doors = doors

    async def answer(self, request: Request) -> Answer:
        """Judges one request."""
        headers = request.headers
        with telemetry.correlated(headers.get(telemetry.CORRELATION_HEADER)) as correlation_id:
            try:
                passage = await self._doors.pass_through(
                    EdgeRequest(
                        method=request.method,
                        path=request.target,
                        scheme=headers.get("x-forwarded-proto", ""),
                        host=headers.get("host", ""),
                        address=headers.get(ADDRESS_HEADER, ""),
                        headers=headers,
                    )
                )
            except Exception as error:
                refusal = as_refusal(error)
                if refusal is None:  # a defect: Envoy hears that nobody can answer, and refuses
                    raise
                return _denied(Denial.of(refusal, correlation_id, request.target))
        ALLOWED.inc()
        said = [_TAKEN_AWAY]
        if passage.session_id:
            said.append((SESSION_HEADER, passage.session_id))
        if passage.path:
            said.append((PATH_HEADER, passage.path))
        said += [(name.lower(), value) for name, value in passage.answer_headers]
        return Answer(200, said)


def _denied(denial: Denial) -> Answer:
    return Answer(denial.status if denial.status < 500 else _FOR_NOW, denial.headers, denial.body.encode())
