"""Calls to providers that are reached by HTTPS."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Final

import httpx

from services.notifications.domain import NotTaken, OutcomeUnknown

TIMEOUTS: Final = httpx.Timeout(10.0, connect=5.0)
_LONGEST_PAUSE: Final = 3600.0


def client(**settings: Any) -> httpx.AsyncClient:
    """A client that follows nobody elsewhere."""
    return httpx.AsyncClient(timeout=TIMEOUTS, follow_redirects=False, **settings)


async def posted(http: httpx.AsyncClient, url: str, **content: Any) -> httpx.Response:
    """Posts, and returns what the provider says, unless it says that it is busy.

    Raises:
        NotTaken: it was not reached, or answers 429 or 503.
        OutcomeUnknown: it was given the request and did not answer, or answers with a failure of its own.
    """
    try:
        answer = await http.post(url, **content)
    except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout):
        raise NotTaken from None
    except httpx.HTTPError:
        raise OutcomeUnknown from None
    if answer.status_code in {429, 503}:
        raise NotTaken(_pause(answer))
    if answer.status_code >= 500:
        raise OutcomeUnknown
    return answer


def json_of(answer: httpx.Response) -> dict[str, Any]:
    """The JSON object of an answer; an empty one for anything else."""
    try:
        content = answer.json()
    except ValueError:
        return {}
    return content if isinstance(content, dict) else {}


def _pause(answer: httpx.Response) -> timedelta | None:
    """`Retry-After` in seconds (RFC 9110 §10.2.3); None where it is absent or a date."""
    text = answer.headers.get("retry-after", "")
    return timedelta(seconds=min(float(text), _LONGEST_PAUSE)) if text.isdecimal() else None
