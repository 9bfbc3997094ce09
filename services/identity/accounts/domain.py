"""Rules of accounts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

import grpc
from email_validator import EmailNotValidError, validate_email

from services.identity.refusals import IDENTITY_DOMAIN, field_not_updatable
from services.kit.errors import RPC_DOMAIN, Refusal

UPDATABLE: Final = ("display_name", "language")
FIRST_TIER: Final = "free"


@dataclass(frozen=True, slots=True)
class Account:
    """A person who can sign in.

    Attributes:
        account_id: `usr_…`.
        version: counts changes.
        email: verified address in its canonical form.
        password_hash: PHC string; None for who never set one.
        display_name: name to show.
        phone: verified number in E.164 form, or empty.
        language: BCP 47 tag, or empty for English.
        tier: of the subscription.
        create_time: when it was made.
        lock_time: when staff locked it; None unless it is.
    """

    account_id: str
    version: int
    email: str
    password_hash: str | None
    display_name: str
    phone: str
    language: str
    tier: str
    create_time: datetime
    lock_time: datetime | None = None

    @property
    def etag(self) -> str:
        """Version as the contract shows it."""
        return str(self.version)

    def checked(self, etag: str) -> Account:
        """The account, for whoever last saw it in this state.

        Raises:
            Refusal: ABORTED `ETAG_MISMATCH`.
        """
        if etag and etag != self.etag:
            raise Refusal(
                grpc.StatusCode.ABORTED,
                "ETAG_MISMATCH",
                "the account changed since you read it; read it again",
                domain=RPC_DOMAIN,
                metadata={"etag": self.etag},
            )
        return self

    def changed(self, paths: Sequence[str], display_name: str, language: str) -> Account:
        """The account with what its owner may change.

        Raises:
            Refusal: INVALID_ARGUMENT `FIELD_NOT_UPDATABLE`.
        """
        for path in paths:
            if path not in UPDATABLE:
                raise field_not_updatable(path, ", ".join(UPDATABLE))
        return replace(
            self,
            version=self.version + 1,
            display_name=display_name if "display_name" in paths else self.display_name,
            language=language if "language" in paths else self.language,
        )

    def with_password(self, password_hash: str) -> Account:
        """The account with another password."""
        return replace(self, version=self.version + 1, password_hash=password_hash)

    def locked(self, moment: datetime) -> Account:
        """Locked; as it is when it was before."""
        return self if self.lock_time else replace(self, version=self.version + 1, lock_time=moment)

    def unlocked(self) -> Account:
        """Not locked."""
        return replace(self, version=self.version + 1, lock_time=None) if self.lock_time else self

    def in_tier(self, tier: str) -> Account:
        """In another tier."""
        return self if tier == self.tier else replace(self, version=self.version + 1, tier=tier)


def canonical_email(text: str) -> str:
    """An address in the form in which two of the same person are equal: lower case, NFC, the domain as people read it.

    Raises:
        Refusal: INVALID_ARGUMENT `EMAIL_INVALID`.
    """
    try:
        return validate_email(text.strip(), check_deliverability=False, test_environment=True).normalized.lower()
    except EmailNotValidError as error:
        message = f"this is not an e-mail address that can be written to: {str(error).rstrip('.')}"
        raise Refusal(
            grpc.StatusCode.INVALID_ARGUMENT,
            "EMAIL_INVALID",
            message,
            domain=IDENTITY_DOMAIN,
            fields=[("email", message)],
        ) from None
