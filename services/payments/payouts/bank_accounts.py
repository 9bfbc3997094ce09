"""Bank accounts: whether one can be, how it is shown, and how it is kept."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Final

from services.kit.sealing import Seal
from services.payments import refusals

PAYMENTS_KEY_FILE: Final = "payments_key"
"""Name of the secret file whose key seals bank accounts: 32 random bytes."""
_SHOWN: Final = 4


@dataclass(frozen=True, slots=True)
class BankAccount:
    """A bank account.

    Attributes:
        holder_name: as the bank writes it.
        iban: without blanks (ISO 13616); empty where `account_number` is given.
        bic: ISO 9362; empty when it was not said.
    """

    holder_name: str
    iban: str
    account_number: str
    bic: str

    @property
    def hint(self) -> str:
        """What people are shown of it: `DE89 …3000`."""
        number = self.iban or self.account_number
        if len(number) <= 2 * _SHOWN:  # so short that its end would tell it
            return "…" + number[-1:]
        return f"{self.iban[:_SHOWN]} …{number[-_SHOWN:]}".strip()

    def sealed(self, seal: Seal, bank_account_id: str) -> bytes:
        """For keeping."""
        return seal.seal(json.dumps(asdict(self)).encode(), f"bank_account {bank_account_id}")

    @classmethod
    def opened(cls, seal: Seal, bank_account_id: str, sealed: bytes) -> BankAccount:
        """What was kept."""
        return cls(**json.loads(seal.open(sealed, f"bank_account {bank_account_id}")))


def bank_account(holder_name: str, iban: str, account_number: str, bic: str) -> BankAccount:
    """A bank account that can be.

    Raises:
        Refusal: INVALID_ARGUMENT `BANK_ACCOUNT_INVALID`.
    """
    iban = iban.replace(" ", "").upper()
    if not holder_name.strip() or not holder_name.isprintable():
        raise refusals.bank_account_invalid("holder_name", "say whose account it is")
    if bool(iban) == bool(account_number):
        raise refusals.bank_account_invalid("iban", "give either an IBAN or an account number")
    if iban and not _checked(iban):
        raise refusals.bank_account_invalid("iban", "the check digits of this IBAN are wrong; look for a slip")
    return BankAccount(holder_name.strip(), iban, account_number, bic)


def _checked(iban: str) -> bool:
    """Whether the check digits fit (ISO 7064 MOD 97-10)."""
    if not 15 <= len(iban) <= 34 or not iban.isalnum() or not iban.isascii():
        return False
    digits = "".join(str(int(sign, 36)) for sign in iban[4:] + iban[:4])
    return int(digits) % 97 == 1
