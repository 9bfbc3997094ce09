"""What every provider of proofs of age is to the rest of the service.

An adapter begins a check, and takes what is delivered about it: a signed webhook, a wallet's response, or the viewer's browser on its way back. It
checks that what came is authentic and answers to the check's nonce, says what was proved, and forgets everything else: no document, no date of birth and
no number of a card or a phone leaves it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, Protocol

from services.compliance.age import refusals
from services.kit.ids import is_id

DOCUMENT: Final = "document"
FACE: Final = "face-estimation"
CREDIT_CARD: Final = "credit-card"
MOBILE_OPERATOR: Final = "mobile-operator"
EU_PROOF: Final = "eu-age-verification"
TITLES: Final[Mapping[str, str]] = {
    EU_PROOF: "Age verification app",
    MOBILE_OPERATOR: "Mobile operator",
    CREDIT_CARD: "Credit card",
    FACE: "Face, estimated",
    DOCUMENT: "Photo ID",
}
"""All methods, those that ask for least first, as people read them."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What a provider is to find out.

    Attributes:
        check_id: our `agc_…`.
        method: one of the adapter's.
        threshold: age in years.
        nonce: 43 characters, made for this check alone.
        return_url: where the viewer goes afterwards.
        delivery_url: under which the provider reaches the adapter: what follows it comes as `Delivery.path`.
        now, expire_time: when the check begins, and when its time is over.
    """

    check_id: str
    method: str
    threshold: int
    nonce: str
    return_url: str
    delivery_url: str
    now: datetime
    expire_time: datetime

    @property
    def token(self) -> str:
        """What a provider carries through: names the check and proves that whoever says it was told."""
        return f"{self.check_id}.{self.nonce}"


@dataclass(frozen=True, slots=True)
class Begun:
    """A check that the provider knows of.

    Attributes:
        url: where the viewer goes.
        secret: what the adapter needs when something is delivered. It is sealed, and gone with the check.
    """

    url: str
    secret: bytes = b""


@dataclass(frozen=True, slots=True)
class Delivery:
    """A request that came in about some check.

    Attributes:
        path: what follows the adapter's URL, such as `webhook`.
        headers: by lower-case name.
        query, body: as they came.
        receive_time: when it came.
    """

    path: str
    http_method: str
    headers: Mapping[str, str]
    query: str
    body: bytes
    receive_time: datetime


@dataclass(frozen=True, slots=True)
class Pending:
    """A check that is open.

    Attributes:
        secret: as `Begun` had it.
        delivery_url: as `Asked` had it.
        return_url: where the viewer goes afterwards.
    """

    check_id: str
    method: str
    threshold: int
    secret: bytes
    delivery_url: str
    return_url: str
    create_time: datetime
    expire_time: datetime


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came out.

    Attributes:
        passed: whether the viewer is at least so old.
        failure: `refused`, `unsure` or `unfit` when not; empty when passed.
        once: digest of a proof that is bound to nobody, so that it counts one time only; empty for others.
        once_until: until when the same proof could be shown again.
    """

    passed: bool
    failure: str = ""
    once: bytes = b""
    once_until: datetime | None = None


PASSED: Final = Verdict(passed=True)
REFUSED: Final = Verdict(passed=False, failure="refused")
"""The viewer is too young, or did not want to."""
UNSURE: Final = Verdict(passed=False, failure="unsure")
"""The provider cannot tell."""
UNFIT: Final = Verdict(passed=False, failure="unfit")
"""What the viewer showed proves nothing, such as a debit card."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What is answered to a delivery.

    Attributes:
        location: where a browser is sent; empty for nowhere.
    """

    status: int = 200
    content_type: str = "text/plain; charset=utf-8"
    body: bytes = field(default=b"", repr=False)
    location: str = ""


OK: Final = Answer(body=b"ok")


@dataclass(frozen=True, slots=True)
class Taken:
    """What a delivery said.

    Attributes:
        check_id: the check; empty when the delivery is about none that is of consequence.
        nonce: the nonce that came with it.
        verdict: None when nothing is decided yet.
    """

    answer: Answer
    check_id: str = ""
    nonce: str = ""
    verdict: Verdict | None = None


Find = Callable[[str], Awaitable[Pending]]
"""Finds an open check of this provider; raises AGE_CHECK_NOT_FOUND, or AGE_CHECK_OVER."""


class Provider(Protocol):
    """One provider, as it is set up here."""

    @property
    def methods(self) -> tuple[str, ...]:
        """The methods that it has."""
        ...

    @property
    def repeats(self) -> bool:
        """Whether it delivers the same again until it is told that it arrived: what comes late is then acknowledged, and changes nothing."""
        ...

    def proves(self, threshold: int) -> bool:
        """Whether it can find out this age."""
        ...

    async def begin(self, asked: Asked) -> Begun:
        """Begins a check.

        Raises:
            Refusal: UNAVAILABLE, or AGE_PROVIDER_REFUSED.
        """
        ...

    async def take(self, delivery: Delivery, find: Find) -> Taken:
        """Takes what came.

        Raises:
            Refusal: AGE_DELIVERY_NOT_AUTHENTIC, AGE_DELIVERY_MALFORMED, AGE_PROOF_INVALID, UNAVAILABLE, or what `find` raises.
        """
        ...


def read_token(provider: str, token: object) -> tuple[str, str]:
    """Check and nonce of a token that was carried through.

    Raises:
        Refusal: AGE_DELIVERY_MALFORMED.
    """
    check_id, _, nonce = token.partition(".") if isinstance(token, str) else ("", "", "")
    if not is_id("agc", check_id) or not 1 <= len(nonce) <= 64 or not nonce.isascii():
        raise refusals.age_delivery_malformed(provider, "it names no check")
    return check_id, nonce
