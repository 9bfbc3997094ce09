"""Every refusal of this domain: what is wrong, and how to mend it. Reasons and metadata are those of `payments.proto`."""

from __future__ import annotations

from typing import Final

import grpc

from services.kit.errors import Refusal

DOMAIN: Final = "payments.reelmesh"


def currency_unknown(currency: str) -> Refusal:
    """No such currency is kept here."""
    return _invalid(
        "CURRENCY_UNKNOWN",
        f"{currency!r} is no currency that is kept here; send a code of ISO 4217 that has minor units, or of a crypto asset that the contract names",
        currency=currency,
    )


def currency_mixed(expected: str, other: str) -> Refusal:
    """One transaction has one currency."""
    return _invalid(
        "CURRENCY_MIXED",
        f"an amount is in {other} where everything else is in {expected}; record each currency by itself",
        currency=expected,
        other=other,
    )


def amount_invalid(field: str, message: str) -> Refusal:
    """An amount that is zero or negative where it may not be."""
    return _invalid("AMOUNT_INVALID", f"{field} {message}", field=field)


def split_impossible(gross: int, deductions: int) -> Refusal:
    """More is taken off the price than there is."""
    return _invalid(
        "SPLIT_IMPOSSIBLE",
        f"tax and fee are {deductions} minor units of a price of {gross}; check the amounts, or the rates of the split rules",
        gross=str(gross),
        deductions=str(deductions),
    )


def split_rules_missing() -> Refusal:
    """Nobody said how to divide."""
    return _wrong_state(
        "SPLIT_RULES_MISSING", "the organisation has no active split rules; make some and activate them first"
    )


def split_rules_not_found(version: int) -> Refusal:
    """There are no such rules."""
    return _not_found("SPLIT_RULES_NOT_FOUND", f"there are no split rules with version {version}", version=str(version))


def reference_reused(reference: str) -> Refusal:
    """The reference stands for something else already."""
    return _wrong_state(
        "REFERENCE_REUSED",
        f"{reference} was recorded before with other contents; look at what was recorded, and use a reference of its own for something new",
        reference=reference,
    )


def sale_not_found(sale_id: str) -> Refusal:
    """There is no such sale."""
    return _not_found("SALE_NOT_FOUND", "there is no such sale in your organisation", sale_id=sale_id)


def amount_exceeds_remaining(remaining: int) -> Refusal:
    """More would be given back than was taken."""
    return _wrong_state(
        "AMOUNT_EXCEEDS_REMAINING",
        f"only {remaining} minor units are left of this sale; give back no more than that",
        remaining=str(remaining),
    )


def entry_not_found(entry_id: str) -> Refusal:
    """There is no such entry."""
    return _not_found("ENTRY_NOT_FOUND", "there is no such entry in your organisation", entry_id=entry_id)


def already_reversed(entry_id: str) -> Refusal:
    """Each entry is reversed at most once."""
    return _wrong_state("ALREADY_REVERSED", "this entry was reversed before; once is enough", entry_id=entry_id)


def not_reversible(entry_id: str, message: str) -> Refusal:
    """The entry cannot be reversed."""
    return _wrong_state("NOT_REVERSIBLE", message, entry_id=entry_id)


def not_a_chargeback(entry_id: str) -> Refusal:
    """The entry tells of something else."""
    return _wrong_state(
        "NOT_A_CHARGEBACK", "this entry is no chargeback of this sale; name the chargeback's own", entry_id=entry_id
    )


def overdraft() -> Refusal:
    """Somebody would have less than nothing."""
    return _wrong_state("OVERDRAFT", "an account that may not fall below zero would; wait until it holds enough")


def balance_out_of_range() -> Refusal:
    """Too much for 64 bits."""
    return Refusal(
        grpc.StatusCode.OUT_OF_RANGE,
        "BALANCE_OUT_OF_RANGE",
        "the turnover of an account would be more than can be counted; check the amount",
        domain=DOMAIN,
    )


def account_not_found() -> Refusal:
    """Nothing was ever posted to it."""
    return _not_found(
        "ACCOUNT_NOT_FOUND", "nothing was ever posted to such an account; ListBalances shows those that there are"
    )


def grant_invalid(field: str, message: str) -> Refusal:
    """Nobody could use what is granted."""
    return _invalid("GRANT_INVALID", message, field=field)


def _invalid(reason: str, message: str, **metadata: str) -> Refusal:
    return Refusal(grpc.StatusCode.INVALID_ARGUMENT, reason, message, domain=DOMAIN, metadata=metadata)


def _not_found(reason: str, message: str, **metadata: str) -> Refusal:
    return Refusal(grpc.StatusCode.NOT_FOUND, reason, message, domain=DOMAIN, metadata=metadata)


def _wrong_state(reason: str, message: str, **metadata: str) -> Refusal:
    return Refusal(grpc.StatusCode.FAILED_PRECONDITION, reason, message, domain=DOMAIN, metadata=metadata)
