"""Mail by SendGrid (`POST /v3/mail/send`): 202 says that it was taken."""

from __future__ import annotations

from email.headerregistry import Address

from services.notifications.channels import web
from services.notifications.domain import AddressRefused, Letter, ProviderRefused


class SendGrid:
    """Sends mail by SendGrid's interface, version 3.

    Args:
        url: such as `https://api.sendgrid.com`.
        api_key: with the right to send mail and no other.
        sender: a verified sender.
    """

    def __init__(self, url: str, api_key: str, sender: Address) -> None:
        self._url = f"{url.rstrip('/')}/v3/mail/send"
        self._sender = sender
        self._http = web.client(headers={"authorization": f"Bearer {api_key}"})

    @property
    def provider(self) -> str:
        """The name."""
        return "sendgrid"

    async def send(self, letter: Letter) -> None:
        """Hands a mail over."""
        answer = await web.posted(self._http, self._url, json=self._body(letter))
        if answer.status_code == 202:
            return
        errors = web.json_of(answer).get("errors")
        fields = {str(error.get("field")) for error in errors if isinstance(error, dict)} if errors else set()
        if answer.status_code == 400 and any(field.startswith("personalizations") for field in fields):
            raise AddressRefused("400")
        raise ProviderRefused(str(answer.status_code))

    async def close(self) -> None:
        """Closes connections."""
        await self._http.aclose()

    def _body(self, letter: Letter) -> dict[str, object]:
        return {
            "personalizations": [{"to": [{"email": letter.to}], "custom_args": {"message_id": letter.message_id}}],
            "from": {"email": self._sender.addr_spec, "name": self._sender.display_name},
            "subject": letter.subject,
            "content": [
                {"type": "text/plain", "value": letter.text},
                {"type": "text/html", "value": letter.html},
            ],
            "headers": {"Auto-Submitted": "auto-generated"},
            # Whoever opens a mail with a code is nobody's business, and a rewritten link looks like a fraud.
            "tracking_settings": {"click_tracking": {"enable": False}, "open_tracking": {"enable": False}},
        }
