"""Calls of providers: what they answer, or a refusal that says who is to mend it. Nothing of what they say is logged."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import httpx

from services.compliance.age import refusals
from services.kit.errors import unavailable


async def asked(
    http: httpx.AsyncClient,
    provider: str,
    method: str,
    url: str,
    *,
    headers: Mapping[str, str],
    form: Mapping[str, str] | None = None,
    json: Mapping[str, Any] | None = None,
) -> Mapping[str, Any]:
    """Asks a provider for a JSON object.

    Raises:
        Refusal: UNAVAILABLE when it gives no usable answer, AGE_PROVIDER_REFUSED when it does not want to.
    """
    try:
        response = await http.request(method, url, headers=dict(headers), data=form, json=json)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise unavailable("the provider of proofs of age") from error
    if response.is_client_error and response.status_code != httpx.codes.TOO_MANY_REQUESTS:
        raise refusals.age_provider_refused(provider)
    try:
        answer = response.json() if response.is_success else None
    except (ValueError, RecursionError):
        answer = None
    if not isinstance(answer, dict):
        raise unavailable("the provider of proofs of age")
    return answer


def page_of(provider: str, answer: object) -> str:
    """The address of a page that a provider made: an absolute one, of the web.

    Raises:
        Refusal: AGE_PROVIDER_REFUSED.
    """
    if not isinstance(answer, str) or not answer.startswith(("https://", "http://")) or len(answer) > 2048:
        raise refusals.age_provider_refused(provider)
    return answer
