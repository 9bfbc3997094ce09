"""What can be set about messages, and the channels that follow from it."""

from __future__ import annotations

from email.headerregistry import Address
from pathlib import Path
from typing import Literal

from pydantic import Field

from services.kit.clock import Clock
from services.kit.settings import ProcessSettings
from services.notifications.channels.console import Console
from services.notifications.channels.kavenegar import Kavenegar
from services.notifications.channels.sendgrid import SendGrid
from services.notifications.channels.smtp import MailServer, Security, Smtp
from services.notifications.channels.twilio import Twilio
from services.notifications.domain import Channel


class NotificationsSettings(ProcessSettings):
    """Credentials are read from files in `secrets_dir`: `smtp_password`, `sendgrid_api_key`, `twilio_auth_token`, `kavenegar_api_key`."""

    notifications_email: Literal["console", "smtp", "sendgrid"] = Field(
        default="console", description="Who carries e-mail. `console`: `reelmesh messages` shows it."
    )
    notifications_sms: Literal["console", "twilio", "kavenegar"] = Field(
        default="console", description="Who carries SMS. `console`: `reelmesh messages` shows it."
    )
    notifications_product: str = Field(
        default="Reelmesh", min_length=1, max_length=50, description="Name of this install, as people know it."
    )
    notifications_sender: str = Field(
        default="no-reply@localhost.localdomain", description="E-mail address that mail comes from."
    )
    notifications_smtp_host: str = Field(default="localhost", description="Mail server.")
    notifications_smtp_port: int = Field(default=587, ge=1, le=65535, description="Its port.")
    notifications_smtp_security: Security = Field(
        default="starttls", description="`starttls`, `tls` from the first byte (port 465), or `none`."
    )
    notifications_smtp_user: str = Field(
        default="", description="Name to log in with; the password is in `smtp_password`. Empty: no log-in."
    )
    notifications_smtp_ca_file: Path | None = Field(
        default=None, description="PEM file of certificate authorities for the mail server. None: the system's."
    )
    notifications_sendgrid_url: str = Field(default="https://api.sendgrid.com", description="SendGrid's interface.")
    notifications_twilio_url: str = Field(default="https://api.twilio.com", description="Twilio's interface.")
    notifications_twilio_account_sid: str = Field(default="", description="Twilio account, `AC…`.")
    notifications_twilio_sender: str = Field(
        default="", description="Number, sender id or messaging service (`MG…`) that SMS come from."
    )
    notifications_kavenegar_url: str = Field(default="https://api.kavenegar.com", description="Kavenegar's interface.")
    notifications_kavenegar_sender: str = Field(
        default="", description="Line that SMS come from. Empty: the account's."
    )
    notifications_kavenegar_lookups: dict[str, str] = Field(
        default_factory=dict,
        description="JSON map from our templates, such as `sign-in-code`, to verification templates at Kavenegar.",
    )
    notifications_upkeep_seconds: float = Field(
        default=600, gt=0, description="Seconds between two removals of what nobody needs any more."
    )

    @property
    def messages_folder(self) -> Path:
        """Where the console's messages lie."""
        return self.data_dir / "messages"

    def credential(self, name: str) -> str:
        """A provider's credential, without the line end that editors add."""
        return self.secret(name).decode().strip()


def channels_of(settings: NotificationsSettings, clock: Clock) -> dict[str, Channel]:
    """Who carries messages, by `email` and `sms`.

    Raises:
        FileNotFoundError: a credential is missing.
    """
    return {"email": _email(settings, clock), "sms": _sms(settings, clock)}


def _email(settings: NotificationsSettings, clock: Clock) -> Channel:
    sender = Address(display_name=settings.notifications_product, addr_spec=settings.notifications_sender)
    match settings.notifications_email:
        case "smtp":
            user = settings.notifications_smtp_user
            server = MailServer(
                settings.notifications_smtp_host,
                settings.notifications_smtp_port,
                settings.notifications_smtp_security,
                user,
                settings.credential("smtp_password") if user else "",
                settings.notifications_smtp_ca_file,
            )
            return Smtp(server, sender, clock)
        case "sendgrid":
            return SendGrid(settings.notifications_sendgrid_url, settings.credential("sendgrid_api_key"), sender)
        case _:
            return Console(settings.messages_folder, "email", clock)


def _sms(settings: NotificationsSettings, clock: Clock) -> Channel:
    match settings.notifications_sms:
        case "twilio":
            return Twilio(
                settings.notifications_twilio_url,
                settings.notifications_twilio_account_sid,
                settings.credential("twilio_auth_token"),
                settings.notifications_twilio_sender,
            )
        case "kavenegar":
            return Kavenegar(
                settings.notifications_kavenegar_url,
                settings.credential("kavenegar_api_key"),
                settings.notifications_kavenegar_sender,
                settings.notifications_kavenegar_lookups,
            )
        case _:
            return Console(settings.messages_folder, "sms", clock)
