"""Stripe's library on the HTTP client that adapters are given, instead of one of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, Final, NoReturn

import httpx
import stripe

from services.payments.processors.outgoing import MOST_BYTES, SECONDS


class SharedClient(stripe.HTTPClient):
    """Carries the library's requests; they are not repeated here, and end after `SECONDS`.

    Args:
        http: shared; neither closed nor changed here.
    """

    name: Final = "httpx"

    def __init__(self, http: httpx.AsyncClient) -> None:
        super().__init__()
        self._http = http

    async def sleep_async(self, secs: float) -> None:
        await asyncio.sleep(secs)

    async def request_async(
        self, method: str, url: str, headers: Mapping[str, str], post_data: Any = None
    ) -> tuple[bytes, int, Mapping[str, str]]:
        """One request.

        Raises:
            stripe.APIConnectionError: there was no answer in time, or too long a one.
        """
        request = self._http.build_request(method, url, headers=headers, content=post_data or None)
        try:
            async with asyncio.timeout(SECONDS):
                response = await self._http.send(request, stream=True, follow_redirects=False)
                try:
                    body = b""
                    async for part in response.aiter_bytes():
                        body += part
                        if len(body) > MOST_BYTES:
                            _failed("the answer is too long")
                finally:
                    await response.aclose()
        except (httpx.HTTPError, TimeoutError) as error:
            _failed(type(error).__name__)
        return body, response.status_code, dict(response.headers)

    async def close_async(self) -> None:
        """Nothing: the client is somebody else's."""

    def close(self) -> None:
        """Nothing: the client is somebody else's."""


def _failed(what: str) -> NoReturn:
    raise stripe.APIConnectionError(what, should_retry=False)  # type: ignore[no-untyped-call]  # as the library has it
