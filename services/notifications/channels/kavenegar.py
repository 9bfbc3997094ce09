"""SMS by Kavenegar: `verify/lookup` for codes, where the operator has a template there, and `sms/send` for the rest.

Its key is a part of the path, and it takes parameters in the query too: they go into the body here, so that codes and numbers stand in
nobody's access log.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from services.notifications.channels import web
from services.notifications.domain import AddressRefused, Letter, NotTaken, ProviderRefused

# https://kavenegar.com/rest.html#result-general
_TAKEN: Final = 200
_TRY_AGAIN: Final = frozenset({409})
_OF_THE_NUMBER: Final = frozenset({411})


class Kavenegar:
    """Sends SMS.

    Args:
        url: such as `https://api.kavenegar.com`.
        api_key: the account's.
        sender: line to send from; empty for the account's own.
        lookups: names of templates at Kavenegar by ours, for messages with a code.
    """

    def __init__(self, url: str, api_key: str, sender: str, lookups: Mapping[str, str]) -> None:
        self._url = f"{url.rstrip('/')}/v1/{api_key}"
        self._sender = {"sender": sender} if sender else {}
        self._lookups = lookups
        self._http = web.client()

    @property
    def provider(self) -> str:
        """The name."""
        return "kavenegar"

    async def send(self, letter: Letter) -> None:
        """Hands an SMS over."""
        # `00` and the country's code is how it writes what is not Iranian.
        receptor = "0" + letter.to[3:] if letter.to.startswith("+98") else "00" + letter.to[1:]
        lookup = self._lookups.get(letter.template) if letter.code else None
        if lookup:
            path, form = "verify/lookup.json", {"receptor": receptor, "token": letter.code, "template": lookup}
        else:
            path, form = "sms/send.json", {"receptor": receptor, "message": letter.text, **self._sender}
        answer = await web.posted(self._http, f"{self._url}/{path}", data=form)
        said = web.json_of(answer).get("return")
        status = said.get("status") if isinstance(said, dict) else answer.status_code
        if status == _TAKEN:
            return
        if status in _TRY_AGAIN:
            raise NotTaken
        if status in _OF_THE_NUMBER:
            raise AddressRefused(str(status))
        raise ProviderRefused(str(status))

    async def close(self) -> None:
        """Closes connections."""
        await self._http.aclose()
