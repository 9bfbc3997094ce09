"""What is sent, and what can become of it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Final, Protocol

import grpc
import phonenumbers
from email_validator import EmailNotValidError, validate_email
from reelmesh.notifications.v1 import notifications_pb2

from services.kit.errors import Refusal

DOMAIN: Final = "notifications.reelmesh"
CHANNELS: Final[Mapping[int, str]] = {notifications_pb2.CHANNEL_EMAIL: "email", notifications_pb2.CHANNEL_SMS: "sms"}
_E164: Final = re.compile(r"\+[1-9][0-9]{6,14}")


@dataclass(frozen=True, slots=True)
class Letter:
    """One message as it goes to a provider.

    Attributes:
        message_id: `msg_…`.
        to: e-mail address, or number in E.164 form.
        template: which text it is, such as `verify-email`.
        subject: of an e-mail; empty for SMS.
        text: the text, plain.
        html: the same for mail programs that show it; empty for SMS.
        code: the one-time code in it, for providers that want it apart; empty when there is none.
    """

    message_id: str
    to: str
    template: str
    subject: str
    text: str
    html: str
    code: str


class AddressRefused(Exception):
    """The provider will never deliver to this address. `status` is its own code for it."""

    def __init__(self, status: str) -> None:
        super().__init__(status)
        self.status = status


class ProviderRefused(Exception):
    """The provider refuses because of how we are set up: credentials, sender, credit. `status` is its own code for it."""

    def __init__(self, status: str) -> None:
        super().__init__(status)
        self.status = status


class NotTaken(Exception):
    """The provider has certainly not taken the message, and may be asked again, after `retry_after` where it says so."""

    def __init__(self, retry_after: timedelta | None = None) -> None:
        super().__init__("not taken")
        self.retry_after = retry_after


class OutcomeUnknown(Exception):
    """The provider was given the message and did not say whether it took it: sending again may send it twice."""


class Channel(Protocol):
    """Carries messages of one kind by one provider."""

    @property
    def provider(self) -> str:
        """Name of the provider, such as `smtp`."""
        ...

    async def send(self, letter: Letter) -> None:
        """Hands a message over; it is taken when this returns.

        Raises:
            AddressRefused, ProviderRefused, NotTaken, OutcomeUnknown: see there.
        """
        ...

    async def close(self) -> None:
        """Lets go of connections."""
        ...


def checked_address(channel: str, to: str) -> str:
    """The address, if it is one of the channel's kind: nothing else gets near a header or a provider.

    Raises:
        Refusal: INVALID_ARGUMENT `ADDRESS_INVALID`.
    """
    if channel == "sms":
        if _E164.fullmatch(to) and phonenumbers.is_possible_number(phonenumbers.parse(to, None)):
            return to
    else:
        try:
            return validate_email(to, check_deliverability=False, test_environment=True).normalized
        except EmailNotValidError:
            pass
    kind = "a phone number in E.164 form" if channel == "sms" else "an e-mail address"
    raise Refusal(
        grpc.StatusCode.INVALID_ARGUMENT,
        "ADDRESS_INVALID",
        f"`to` is not {kind}",
        domain=DOMAIN,
        metadata={"channel": channel},
    )


def refusal_of(outcome: Exception, channel: str, provider: str) -> Refusal:
    """What the caller is told of an outcome."""
    facts = {"channel": channel, "provider": provider}
    match outcome:
        case AddressRefused():
            facts["status"] = outcome.status
            code, reason = grpc.StatusCode.FAILED_PRECONDITION, "ADDRESS_REFUSED"
            message = f"{provider} does not deliver to this address; use another one"
        case ProviderRefused():
            facts["status"] = outcome.status
            code, reason = grpc.StatusCode.FAILED_PRECONDITION, "PROVIDER_REFUSED"
            message = f"{provider} refuses our messages ({outcome.status}); check its credentials, sender and credit"
        case NotTaken():
            pause = outcome.retry_after or timedelta(seconds=5)
            message = f"{provider} does not take messages at the moment; try again in {round(pause.total_seconds())} s"
            return Refusal(
                grpc.StatusCode.UNAVAILABLE,
                "PROVIDER_UNAVAILABLE",
                message,
                domain=DOMAIN,
                metadata=facts,
                retry_after=pause,
            )
        case _:
            code, reason = grpc.StatusCode.ABORTED, "OUTCOME_UNKNOWN"
            message = f"{provider} did not say whether it took the message, so it is not sent again; make a new one"
    return Refusal(code, reason, message, domain=DOMAIN, metadata=facts)


def under_way() -> Refusal:
    """The same message, at the same moment."""
    return Refusal(
        grpc.StatusCode.UNAVAILABLE,
        "DELIVERY_UNDER_WAY",
        "the same message is being sent right now; ask again in a moment",
        domain=DOMAIN,
        retry_after=timedelta(seconds=2),
    )
