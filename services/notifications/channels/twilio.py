"""SMS by Twilio (Messages resource, 2010-04-01): 201 says that it was taken."""

from __future__ import annotations

from typing import Final

from services.notifications.channels import web
from services.notifications.domain import AddressRefused, Letter, ProviderRefused

# https://www.twilio.com/docs/api/errors: no valid number, none that can be reached from the sender, none in a permitted country, opted out,
# no mobile.
_OF_THE_NUMBER: Final = frozenset({21211, 21217, 21265, 21408, 21421, 21610, 21612, 21614})


class Twilio:
    """Sends SMS.

    Args:
        url: such as `https://api.twilio.com`.
        account_sid: `AC…`.
        auth_token: the account's.
        sender: a number in E.164 form, an alphanumeric sender id, or a messaging service, `MG…`.
    """

    def __init__(self, url: str, account_sid: str, auth_token: str, sender: str) -> None:
        self._url = f"{url.rstrip('/')}/2010-04-01/Accounts/{account_sid}/Messages.json"
        self._sender = {"MessagingServiceSid" if sender.startswith("MG") else "From": sender}
        self._http = web.client(auth=(account_sid, auth_token))

    @property
    def provider(self) -> str:
        """The name."""
        return "twilio"

    async def send(self, letter: Letter) -> None:
        """Hands an SMS over."""
        form = {"To": letter.to, "Body": letter.text, **self._sender}
        answer = await web.posted(self._http, self._url, data=form)
        if answer.status_code == 201:
            return
        code = web.json_of(answer).get("code")
        if answer.status_code == 400 and code in _OF_THE_NUMBER:
            raise AddressRefused(str(code))
        raise ProviderRefused(str(code or answer.status_code))

    async def close(self) -> None:
        """Closes connections."""
        await self._http.aclose()
