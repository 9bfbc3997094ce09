"""Stripe's library on the HTTP client that adapters are given, instead of one of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, Final

import httpx
import stripe

from services.payments.processors.contract import Unreachable
from services.payments.processors.outgoing import Caller, object_of


class SharedClient(stripe.HTTPClient):
    """Carries the library's requests. They are not repeated here, and what is no answer of Stripe's does not reach the library, which makes of
    it whatever it can.

    Args:
        http: shared; neither closed nor changed here.
    """

    name: Final = "httpx"

    def __init__(self, http: httpx.AsyncClient) -> None:
        super().__init__()
        self._call = Caller(http, "")

    async def sleep_async(self, secs: float) -> None:
        await asyncio.sleep(secs)

    async def request_async(
        self, method: str, url: str, headers: Mapping[str, str], post_data: Any = None
    ) -> tuple[bytes, int, Mapping[str, str]]:
        """One request.

        Raises:
            Unreachable: no answer came in time, or one that says to ask again, or that is no object of JSON.
        """
        response = await self._call(method, url, headers, content=post_data or None)
        if not object_of(response):
            raise Unreachable(f"HTTP {response.status_code} without an answer of Stripe's")
        return response.content, response.status_code, {}

    async def close_async(self) -> None:
        """Nothing: the client is somebody else's."""

    def close(self) -> None:
        """Nothing: the client is somebody else's."""
