"""Mail by SMTP (RFC 5321), encrypted by STARTTLS or from the first byte (RFC 8314).

The steps are taken one by one, because what may be tried again depends on how far they got: before the message is out nothing was taken;
after it, silence may mean either.
"""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP as MAIL_POLICY
from email.utils import format_datetime
from pathlib import Path
from typing import Final, Literal

import aiosmtplib
from aiosmtplib.errors import (
    SMTPAuthenticationError,
    SMTPConnectError,
    SMTPException,
    SMTPNotSupported,
    SMTPResponseException,
    SMTPServerDisconnected,
    SMTPTimeoutError,
)

from services.kit.clock import Clock
from services.notifications.domain import AddressRefused, Letter, NotTaken, OutcomeUnknown, ProviderRefused

TIMEOUT: Final = 10.0
"""Seconds for each step."""
Security = Literal["starttls", "tls", "none"]


@dataclass(frozen=True, slots=True)
class MailServer:
    """Where mail is handed in.

    Attributes:
        host, port: the server.
        security: how the connection is encrypted. Never less than is said here, whatever the server offers.
        user, password: empty where none are asked for.
        ca_file: PEM file of certificate authorities to trust in place of the system's.
    """

    host: str
    port: int
    security: Security
    user: str = ""
    password: str = ""
    ca_file: Path | None = None


class Smtp:
    """Sends each mail over a connection of its own."""

    def __init__(self, server: MailServer, sender: Address, clock: Clock) -> None:
        self._server = server
        self._sender = sender
        self._clock = clock
        self._tls = ssl.create_default_context(cafile=str(server.ca_file) if server.ca_file else None)

    @property
    def provider(self) -> str:
        """The name."""
        return "smtp"

    async def send(self, letter: Letter) -> None:
        """Connects, hands the mail in, and says goodbye."""
        mail = self._mail(letter)
        client = aiosmtplib.SMTP(
            hostname=self._server.host,
            port=self._server.port,
            timeout=TIMEOUT,
            use_tls=self._server.security == "tls",
            start_tls=self._server.security == "starttls",
            tls_context=self._tls,
        )
        try:
            await self._connected(client)
            await self._addressed(client, letter)
            await self._handed_in(client, mail)
        finally:
            client.close()

    async def close(self) -> None:
        """There is nothing to let go of."""

    async def _connected(self, client: aiosmtplib.SMTP) -> None:
        try:
            await client.connect()
            if self._server.user:
                await client.login(self._server.user, self._server.password)
        except SMTPAuthenticationError as error:
            raise ProviderRefused(str(error.code)) from None
        except SMTPNotSupported:
            raise ProviderRefused("not supported") from None
        except (SMTPConnectError, SMTPServerDisconnected, SMTPTimeoutError, OSError) as error:
            if isinstance(error.__cause__ or error, ssl.SSLError):
                raise ProviderRefused("certificate") from None
            raise NotTaken from None
        except SMTPResponseException as error:
            raise _judged(error) from None
        except SMTPException:  # it offers no STARTTLS
            raise ProviderRefused("no encryption") from None

    async def _addressed(self, client: aiosmtplib.SMTP, letter: Letter) -> None:
        international = not letter.to.isascii()
        if international and not client.supports_extension("smtputf8"):
            raise AddressRefused("SMTPUTF8")
        try:
            await client.mail(
                self._sender.addr_spec,
                options=["SMTPUTF8", "BODY=8BITMIME"] if international else [],
                encoding="utf-8" if international else "ascii",
            )
        except SMTPResponseException as error:
            raise _judged(error) from None
        except (SMTPException, OSError):
            raise NotTaken from None
        try:
            await client.rcpt(letter.to, encoding="utf-8" if international else "ascii")
        except SMTPResponseException as error:
            raise AddressRefused(str(error.code)) if error.code >= 500 else NotTaken() from None
        except (SMTPException, OSError):
            raise NotTaken from None

    async def _handed_in(self, client: aiosmtplib.SMTP, mail: bytes) -> None:
        try:
            await client.data(mail)
        except SMTPResponseException as error:
            raise _judged(error) from None
        except (SMTPException, OSError):
            raise OutcomeUnknown from None

    def _mail(self, letter: Letter) -> bytes:
        """The mail. `EmailMessage` refuses line ends in headers; neither an address nor a subject gets here with one anyway."""
        user, _, domain = letter.to.rpartition("@")
        international = not letter.to.isascii()
        mail = EmailMessage(policy=MAIL_POLICY.clone(utf8=international))
        mail["From"] = self._sender
        mail["To"] = Address(username=user, domain=domain)
        mail["Subject"] = letter.subject
        mail["Date"] = format_datetime(self._clock.now())
        # The same message has the same id however often it is handed in.
        mail["Message-ID"] = f"<{letter.message_id}@{self._sender.domain}>"
        mail["Auto-Submitted"] = "auto-generated"  # RFC 3834: no out-of-office answers
        mail.set_content(letter.text)
        mail.add_alternative(letter.html, subtype="html")
        return mail.as_bytes()


def _judged(error: SMTPResponseException) -> Exception:
    """4xx: later, 5xx: never (RFC 5321 §4.2.1)."""
    return ProviderRefused(str(error.code)) if error.code >= 500 else NotTaken()
