"""HTTP requests as Authlib reads them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any, Final
from urllib.parse import parse_qsl

from authlib.oauth2.base import invalid_error_characters
from authlib.oauth2.rfc6749 import InvalidRequestError, OAuth2Payload, OAuth2Request
from starlette.requests import Request

MOST_BYTES: Final = 64 * 1024
_REPEATED: Final = {"client_id", "grant_type", "redirect_uri", "response_type"}
_FORM: Final = "application/x-www-form-urlencoded"


class Parameters(OAuth2Payload):  # type: ignore[misc]  # Authlib has no types
    """Parameters of a request, in the order in which they came."""

    def __init__(self, pairs: Iterable[tuple[str, str]]) -> None:
        self._lists: defaultdict[str, list[str]] = defaultdict(list)
        for name, value in pairs:
            self._lists[name].append(value)

    @property
    def data(self) -> dict[str, str]:
        """The first value of each; one without a value counts as left out (RFC 6749 §3.1)."""
        return {name: values[0] for name, values in self._lists.items() if values[0]}

    @property
    def datalist(self) -> defaultdict[str, list[str]]:
        """All values of each."""
        return self._lists

    def check_single(self) -> None:
        """Refuses parameters that came more than once (RFC 6749 §3.2)."""
        for name, values in self._lists.items():
            if len(values) > 1:
                raise InvalidRequestError(f"Multiple '{_ascii(name)}' in request.")


class Message(OAuth2Request):  # type: ignore[misc]  # Authlib has no types
    """One request. That it came by TLS is the edge's business, so Authlib is not asked to look at the scheme."""

    def __init__(self, method: str, path: str, headers: Mapping[str, str], parameters: Parameters) -> None:
        super().__init__(method, f"https://gateway{path}", headers=headers)
        self.payload: Parameters = parameters

    @property
    def args(self) -> dict[str, str]:
        """Parameters of the query."""
        return self.payload.data if self.method == "GET" else {}

    @property
    def form(self) -> dict[str, str]:
        """Parameters of the body."""
        return self.payload.data if self.method == "POST" else {}


async def message_of(request: Request) -> Message:
    """Reads a request: the query of a GET, the form of a POST. Never both: a secret in a query would be logged by whoever sent it.

    Raises:
        InvalidRequestError: the body is no form, too long, or not in UTF-8; or an identifier in it can be none.
    """
    if request.method == "GET":
        text = request.scope["query_string"].decode("latin-1")
    else:
        if request.headers.get("content-type", "").partition(";")[0].strip().lower() != _FORM:
            raise InvalidRequestError(f"Send the parameters as {_FORM}.")
        text = (await _body(request)).decode("latin-1")
    try:
        pairs = parse_qsl(text, keep_blank_values=True, max_num_fields=200, errors="strict")
    except (ValueError, UnicodeDecodeError):
        raise InvalidRequestError("The parameters cannot be read.") from None
    for name, value in pairs:
        # Authlib repeats these in its errors, which must hold such characters only (RFC 6749 §5.2).
        if name in _REPEATED and invalid_error_characters(value):
            raise InvalidRequestError(f"Invalid '{name}' in request.")
    return Message(request.method, request.url.path, request.headers, Parameters(pairs))


async def _body(request: Request) -> bytes:
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > MOST_BYTES:
            raise InvalidRequestError("The body is too long.")
    return body


def _ascii(text: str) -> str:
    return "".join(character for character in text if character.isalnum() and character.isascii())[:40]


def parameter(message: Any, name: str) -> str:
    """A parameter of a request; empty when it did not come."""
    return str(message.payload.data.get(name, ""))
