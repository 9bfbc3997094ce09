"""The certificates that PayPal signs its webhooks with.

Each delivery says at which URL its certificate is, and anybody can write a delivery: so only PayPal's own hosts are asked, by one path, seldom,
and what comes from there must lead to a root that is trusted, and be for the name that PayPal signs webhooks under. No document of PayPal's
names that name; it is as PayPal's own libraries check it, and can be set.
"""

from __future__ import annotations

import contextlib
import re
import warnings
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import certifi
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.utils import CryptographyDeprecationWarning
from cryptography.x509.verification import PolicyBuilder, Store, VerificationError

from services.kit.clock import Clock
from services.payments.processors.contract import Unreachable

HOSTS: Final = {
    True: frozenset({"api.paypal.com", "api-m.paypal.com"}),
    False: frozenset({"api.sandbox.paypal.com", "api-m.sandbox.paypal.com"}),
}
"""By whether an account is live."""
NAMES: Final = {True: "messageverificationcerts.paypal.com", False: "messageverificationcerts.sandbox.paypal.com"}
_PATH: Final = re.compile(r"/v1/notifications/certs/[A-Za-z0-9_-]{1,120}", re.ASCII)
_END: Final = b"-----END CERTIFICATE-----"
_KEPT_FOR: Final = timedelta(days=1)
_NOT_AGAIN_FOR: Final = timedelta(minutes=5)
_MOST: Final = 32
_FETCHES: Final = 10
_PER: Final = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class _Found:
    """A certificate's key; None when it is no good. It is good until `end`, and looked at again after `look_time`."""

    key: RSAPublicKey | None
    end: datetime
    look_time: datetime


class Certificates:
    """Fetches, checks and keeps them.

    Args:
        fetch: the bytes at a URL, raising Unreachable.
        clock: for how long they are kept, and whether they are good.
        hosts: that may be asked.
        name: that a certificate must be for.
        roots: that are trusted.
    """

    def __init__(
        self,
        fetch: Callable[[str], Awaitable[bytes]],
        clock: Clock,
        hosts: frozenset[str],
        name: str,
        roots: Callable[[], Sequence[x509.Certificate]],
    ) -> None:
        self._fetch = fetch
        self._clock = clock
        self._hosts = hosts
        self._name = name
        self._roots = roots
        self._kept: dict[str, _Found] = {}
        self._fetched: list[datetime] = []

    def found(self, url: str, now: datetime) -> RSAPublicKey | None:
        """The key of the certificate at a URL; None when it is not here, or is not good."""
        kept = self._kept.get(url)
        return kept.key if kept is not None and now <= kept.end else None

    async def prepare(self, url: str) -> None:
        """Fetches the certificate at a URL, if it may be asked and has not been lately. What is no good is remembered as that for a while; what
        is good stays good when PayPal is away."""
        now = self._clock.now()
        kept = self._kept.get(url)
        if not self._permitted(url) or (kept is not None and now <= kept.look_time) or self._too_often(now):
            return
        try:
            found = self._checked(await self._fetch(url), now)
        except (Unreachable, ValueError, VerificationError):
            key, end = (kept.key, kept.end) if kept is not None else (None, now)
            found = _Found(key, end, now + _NOT_AGAIN_FOR)
        if len(self._kept) >= _MOST:
            del self._kept[min(self._kept, key=lambda one: self._kept[one].look_time)]
        self._kept[url] = found

    def _permitted(self, url: str) -> bool:
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError:
            return False
        return (
            parts.scheme == "https"
            and parts.netloc == parts.hostname  # no user, no port, no capitals
            and parts.hostname in self._hosts
            and port is None
            and bool(_PATH.fullmatch(parts.path))
            and not parts.query
            and not parts.fragment
        )

    def _too_often(self, now: datetime) -> bool:
        self._fetched = [moment for moment in self._fetched if now - moment < _PER]
        if len(self._fetched) >= _FETCHES:
            return True
        self._fetched.append(now)
        return False

    def _checked(self, content: bytes, now: datetime) -> _Found:
        """The first certificate, if a chain leads from it to a root.

        Raises:
            ValueError: there is no certificate, or its key is no RSA key.
            VerificationError: no chain leads to a root now, or it is for another name.
        """
        leaf, *others = x509.load_pem_x509_certificates(content)
        verifier = (
            PolicyBuilder().store(Store(list(self._roots()))).time(now).build_server_verifier(x509.DNSName(self._name))
        )
        chain = verifier.verify(leaf, others)
        key = leaf.public_key()
        if not isinstance(key, RSAPublicKey):
            raise ValueError("the certificate has no RSA key")  # noqa: TRY004  # it is what was sent that is wrong
        return _Found(key, min(certificate.not_valid_after_utc for certificate in chain), now + _KEPT_FOR)


@cache
def public_roots() -> Sequence[x509.Certificate]:
    """The roots that browsers trust, as `certifi` has them, but for any that breaks the rules of RFC 5280."""
    found = []
    with warnings.catch_warnings():
        warnings.simplefilter("error", CryptographyDeprecationWarning)  # such as for a serial number of zero
        for part in Path(certifi.where()).read_bytes().split(_END)[:-1]:
            with contextlib.suppress(ValueError, CryptographyDeprecationWarning):
                found.append(x509.load_pem_x509_certificate(part + _END))
    return found
