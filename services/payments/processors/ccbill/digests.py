"""CCBill's digests: MD5 in hex over values without separators, salted at the end (https://ccbill.com/doc/formdigest-value)."""

from __future__ import annotations

import hashlib


def form_digest(
    salt: str, price: str, period: str, currency_number: str, recurring: tuple[str, str, str] | None = None
) -> str:
    """`formDigest`, by which a form shows that nobody changed its price.

    Args:
        salt: the sub-account's.
        price: what is paid now, with two decimals.
        period: days that it is good for.
        currency_number: three digits of ISO 4217.
        recurring: price of a renewal, its days, and how many renewals there are.
    """
    return _md5(price, period, *(recurring or ()), currency_number, salt)


def approval_digest(salt: str, subscription_id: str) -> str:
    """What CCBill sends with an approved sale. It covers neither the amount nor the transaction."""
    return _md5(subscription_id, "1", salt)


def _md5(*parts: str) -> str:
    return hashlib.md5("".join(parts).encode(), usedforsecurity=False).hexdigest()
