"""Calls to processors by HTTP: what becomes of them, in the contract's terms."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final
from urllib.parse import quote, urlsplit

import httpx

from services.payments.processors.contract import Unreachable

SECONDS: Final = 20.0
"""How long one call may take in all, whatever the client's own limits on its parts are."""
MOST_BYTES: Final = 512 * 1024
_LONGEST_PAUSE: Final = 3600
_BUSY: Final = frozenset({408, 425, 429})
_REFERENCE: Final = re.compile(r"[A-Za-z0-9_.:=/-]{1,200}", re.ASCII)


class Caller:
    """Calls one processor at one address.

    Args:
        http: shared; not followed elsewhere, whatever it was set to.
        url: without a slash at its end.
        headers: sent each time.
    """

    def __init__(self, http: httpx.AsyncClient, url: str, headers: Mapping[str, str] | None = None) -> None:
        self._http = http
        self._url = url.rstrip("/")
        self._headers = dict(headers or {})

    async def __call__(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str] | None = None,
        login: tuple[str, str] | None = None,
        **content: Any,
    ) -> httpx.Response:
        """Calls, and returns what the processor says, unless it says that it is in trouble.

        Args:
            method: of HTTP.
            path: from the address on.
            headers: for this call.
            login: user and password of HTTP Basic.
            content: as httpx takes it.

        Raises:
            Unreachable: no answer came in time, or 408, 425, 429 or 5xx, or one that is too long.
        """
        request = self._http.build_request(
            method, self._url + path, headers={**self._headers, **(headers or {})}, **content
        )
        try:
            async with asyncio.timeout(SECONDS):
                response = await self._http.send(
                    request, auth=httpx.BasicAuth(*login) if login else None, stream=True, follow_redirects=False
                )
                try:
                    body = b""
                    async for part in response.aiter_bytes():
                        body += part
                        if len(body) > MOST_BYTES:
                            raise Unreachable("the answer is too long")
                finally:
                    await response.aclose()
        except (httpx.HTTPError, httpx.InvalidURL, TimeoutError) as error:
            raise Unreachable(type(error).__name__) from None
        if response.status_code >= 500 or response.status_code in _BUSY:
            raise Unreachable(f"HTTP {response.status_code}", pause(response.headers.get("retry-after", "")))
        return httpx.Response(response.status_code, content=body)


def pause(text: str) -> timedelta | None:
    """`Retry-After` in seconds (RFC 9110 §10.2.3), an hour at most; None where it is absent or a date."""
    return timedelta(seconds=min(int(text), _LONGEST_PAUSE)) if re.fullmatch("[0-9]{1,9}", text, re.ASCII) else None


def object_of(response: httpx.Response) -> dict[str, Any]:
    """The JSON object of an answer; an empty one for anything else. Decimals stay texts."""
    try:
        found = json.loads(response.content, parse_float=str)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def is_reference(text: str) -> bool:
    """Whether a text may be a processor's reference."""
    return bool(_REFERENCE.fullmatch(text)) and text not in {".", ".."}


def segment(reference: str) -> str:
    """A processor's reference as one segment of a path: it cannot leave its place.

    Raises:
        ValueError: no processor has such references.
    """
    if not is_reference(reference):
        raise ValueError("this reference is none that the processor gives")
    return quote(reference, safe="")


def page(url: object) -> str:
    """The URL of a page that a buyer is sent to: always https, and http on this machine.

    Raises:
        Unreachable: it is none.
    """
    try:
        parts = urlsplit(url) if isinstance(url, str) else urlsplit("")
        host = parts.hostname
    except ValueError:
        parts, host = urlsplit(""), None
    if not host or not (parts.scheme == "https" or (parts.scheme == "http" and host in {"127.0.0.1", "localhost"})):
        raise Unreachable("the answer names no page")
    return str(url)


def lists_of(response: httpx.Response) -> list[dict[str, Any]]:
    """The objects of a list of JSON; none for anything else."""
    try:
        found = json.loads(response.content, parse_float=str)
    except (ValueError, RecursionError):
        return []
    return [item for item in found if isinstance(item, dict)] if isinstance(found, list) else []
