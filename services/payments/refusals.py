"""Every refusal of this domain: what is wrong, and how to mend it. Reasons and metadata are those of `payments.proto`."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

import grpc

from services.kit.errors import Refusal

DOMAIN: Final = "payments.reelmesh"


def currency_unknown(currency: str) -> Refusal:
    """No such currency is kept here."""
    return invalid(
        "CURRENCY_UNKNOWN",
        f"{currency!r} is no currency that is kept here; send a code of ISO 4217 that has minor units, or of a crypto asset that the contract names",
        currency=currency,
    )


def currency_mixed(expected: str, other: str) -> Refusal:
    """One transaction has one currency."""
    return invalid(
        "CURRENCY_MIXED",
        f"an amount is in {other} where everything else is in {expected}; record each currency by itself",
        currency=expected,
        other=other,
    )


def amount_invalid(field: str, message: str) -> Refusal:
    """An amount that is zero or negative where it may not be."""
    return invalid("AMOUNT_INVALID", f"{field} {message}", field=field)


def split_impossible(gross: int, deductions: int) -> Refusal:
    """More is taken off the price than there is."""
    return invalid(
        "SPLIT_IMPOSSIBLE",
        f"tax and fee are {deductions} minor units of a price of {gross}; check the amounts, or the rates of the split rules",
        gross=str(gross),
        deductions=str(deductions),
    )


def split_rules_missing() -> Refusal:
    """Nobody said how to divide."""
    return wrong_state(
        "SPLIT_RULES_MISSING", "the organisation has no active split rules; make some and activate them first"
    )


def split_rules_not_found(version: int) -> Refusal:
    """There are no such rules."""
    return not_found("SPLIT_RULES_NOT_FOUND", f"there are no split rules with version {version}", version=str(version))


def reference_reused(reference: str) -> Refusal:
    """The reference stands for something else already."""
    return wrong_state(
        "REFERENCE_REUSED",
        f"{reference} was recorded before with other contents; look at what was recorded, and use a reference of its own for something new",
        reference=reference,
    )


def sale_not_found(sale_id: str) -> Refusal:
    """There is no such sale."""
    return not_found("SALE_NOT_FOUND", "there is no such sale in your organisation", sale_id=sale_id)


def amount_exceeds_remaining(remaining: int) -> Refusal:
    """More would be given back than was taken."""
    return wrong_state(
        "AMOUNT_EXCEEDS_REMAINING",
        f"only {remaining} minor units are left of this sale; give back no more than that",
        remaining=str(remaining),
    )


def entry_not_found(entry_id: str) -> Refusal:
    """There is no such entry."""
    return not_found("ENTRY_NOT_FOUND", "there is no such entry in your organisation", entry_id=entry_id)


def already_reversed(entry_id: str) -> Refusal:
    """Each entry is reversed at most once."""
    return wrong_state("ALREADY_REVERSED", "this entry was reversed before; once is enough", entry_id=entry_id)


def not_reversible(entry_id: str, message: str) -> Refusal:
    """The entry cannot be reversed."""
    return wrong_state("NOT_REVERSIBLE", message, entry_id=entry_id)


def not_a_chargeback(entry_id: str) -> Refusal:
    """The entry tells of something else."""
    return wrong_state(
        "NOT_A_CHARGEBACK", "this entry is no chargeback of this sale; name the chargeback's own", entry_id=entry_id
    )


def overdraft() -> Refusal:
    """Somebody would have less than nothing."""
    return wrong_state("OVERDRAFT", "an account that may not fall below zero would; wait until it holds enough")


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
    return not_found(
        "ACCOUNT_NOT_FOUND", "nothing was ever posted to such an account; ListBalances shows those that there are"
    )


def grant_invalid(field: str, message: str) -> Refusal:
    """Nobody could use what is granted."""
    return invalid("GRANT_INVALID", message, field=field)


def webhook_not_authentic(processor: str, what: str = "is not signed with the account's secret") -> Refusal:
    """Somebody else sent it, or the secret is another now. `what` says nothing that helps to forge one."""
    return Refusal(
        grpc.StatusCode.UNAUTHENTICATED,
        "WEBHOOK_NOT_AUTHENTIC",
        f"this webhook {what}; check the secret and the addresses of the processor account",
        domain=DOMAIN,
        metadata={"processor": processor},
    )


def webhook_out_of_time(processor: str) -> Refusal:
    """It is old, and may be a replay; or a clock is wrong."""
    return Refusal(
        grpc.StatusCode.UNAUTHENTICATED,
        "WEBHOOK_OUT_OF_TIME",
        "this webhook was not signed within the last five minutes; check the clocks, and let the processor send it again",
        domain=DOMAIN,
        metadata={"processor": processor},
    )


def webhook_malformed(processor: str, what: str) -> Refusal:
    """It is authentic and makes no sense. `what` names the field at most, never its value."""
    return invalid(
        "WEBHOOK_MALFORMED", f"this webhook cannot be read: {what}; send it as the processor does", processor=processor
    )


def processor_account_not_found(account_id: str) -> Refusal:
    """There is no such account."""
    return not_found(
        "PROCESSOR_ACCOUNT_NOT_FOUND",
        "there is no such processor account in your organisation; SetProcessorAccount makes one",
        account_id=account_id,
    )


def processor_account_invalid(field: str, message: str) -> Refusal:
    """An account that could not work."""
    return invalid("PROCESSOR_ACCOUNT_INVALID", f"{field}: {message}", field=field)


def processor_account_taken(account_id: str) -> Refusal:
    """The id is somebody's already."""
    return Refusal(
        grpc.StatusCode.ALREADY_EXISTS,
        "PROCESSOR_ACCOUNT_TAKEN",
        "this id stands for another processor account already, maybe of another organisation; choose another",
        domain=DOMAIN,
        metadata={"account_id": account_id},
    )


def processor_refused(processor: str, message: str) -> Refusal:
    """The processor will not."""
    return wrong_state("PROCESSOR_REFUSED", message, processor=processor)


def processor_unavailable(processor: str, retry_after: timedelta = timedelta(seconds=5)) -> Refusal:
    """The processor cannot be reached now."""
    return Refusal(
        grpc.StatusCode.UNAVAILABLE,
        "PROCESSOR_UNAVAILABLE",
        "the payment processor cannot be reached; nothing was charged, so try again in a moment",
        domain=DOMAIN,
        metadata={"processor": processor},
        retry_after=retry_after,
    )


def checkout_not_found(checkout_id: str) -> Refusal:
    """There is no such checkout, or it is somebody else's."""
    return not_found("CHECKOUT_NOT_FOUND", "there is no such checkout of yours", checkout_id=checkout_id)


def checkout_not_paid(checkout_id: str) -> Refusal:
    """Nothing can go back."""
    return wrong_state(
        "CHECKOUT_NOT_PAID", "this checkout was not paid, so nothing can go back", checkout_id=checkout_id
    )


def no_processor_account() -> Refusal:
    """Nobody can pay."""
    return wrong_state(
        "NO_PROCESSOR_ACCOUNT", "nothing can be paid here yet; the operator has to set up a processor account first"
    )


def nothing_to_pay(offer_id: str) -> Refusal:
    """It is free."""
    return wrong_state("NOTHING_TO_PAY", "this offer is free; take it with ClaimOffer", offer_id=offer_id)


def not_your_own(viewer_id: str) -> Refusal:
    """Somebody else's affair."""
    return Refusal(
        grpc.StatusCode.PERMISSION_DENIED,
        "NOT_YOUR_OWN",
        "a person buys for themselves; leave viewer_id empty",
        domain=DOMAIN,
        metadata={"viewer_id": viewer_id},
    )


def webhook_event_not_found(event_id: str) -> Refusal:
    """There is no such event."""
    return not_found(
        "WEBHOOK_EVENT_NOT_FOUND", "there is no such webhook event in your organisation", webhook_event_id=event_id
    )


def offer_not_found(offer_id: str) -> Refusal:
    """There is no such offer."""
    return not_found("OFFER_NOT_FOUND", "there is no such offer in your organisation", offer_id=offer_id)


def offer_invalid(field: str, message: str) -> Refusal:
    """Nobody could buy this."""
    return invalid("OFFER_INVALID", f"{field}: {message}", field=field)


def offer_retired(offer_id: str) -> Refusal:
    """It cannot be had any more."""
    return wrong_state(
        "OFFER_RETIRED", "this offer was taken back; choose another that ListOffersForAsset shows", offer_id=offer_id
    )


def offer_not_yet(offer_id: str, start_time: datetime) -> Refusal:
    """It cannot be had yet."""
    moment = start_time.isoformat()
    return wrong_state("OFFER_NOT_NOW", f"this can be had from {moment} on", offer_id=offer_id, start_time=moment)


def offer_over(offer_id: str, end_time: datetime) -> Refusal:
    """Its time is over."""
    moment = end_time.isoformat()
    message = f"this could be had until {moment}; choose another offer that ListOffersForAsset shows"
    return wrong_state("OFFER_NOT_NOW", message, offer_id=offer_id, end_time=moment)


def offer_not_sold_here(offer_id: str, territory: str) -> Refusal:
    """It has no price there."""
    message = f"this is not sold in {territory}; choose another offer that ListOffersForAsset shows"
    return wrong_state("OFFER_NOT_SOLD_HERE", message, offer_id=offer_id, territory=territory)


def offer_not_free(offer_id: str) -> Refusal:
    """It costs something."""
    message = "this offer has a price; open a checkout to pay it"
    return wrong_state("OFFER_NOT_FREE", message, offer_id=offer_id)


def entitlement_not_found(entitlement_id: str) -> Refusal:
    """There is no such entitlement."""
    message = "there is no such entitlement in your organisation"
    return not_found("ENTITLEMENT_NOT_FOUND", message, entitlement_id=entitlement_id)


def entitlement_of_subscription(subscription_id: str) -> Refusal:
    """It is a subscription's."""
    message = "the entitlement comes with a subscription; cancel the subscription, or refund what was paid for it"
    return wrong_state("ENTITLEMENT_OF_SUBSCRIPTION", message, subscription_id=subscription_id)


def payee_not_found(creator_id: str) -> Refusal:
    """Nobody said how they are paid."""
    return not_found(
        "PAYEE_NOT_FOUND", "nobody said how this creator is paid; say it by PutPayee first", creator_id=creator_id
    )


def bank_account_invalid(field: str, message: str) -> Refusal:
    """There can be no such account."""
    return invalid("BANK_ACCOUNT_INVALID", message, field=field)


def payout_batch_not_found(payout_batch_id: str) -> Refusal:
    """There is no such batch."""
    return not_found(
        "PAYOUT_BATCH_NOT_FOUND", "there is no such batch in your organisation", payout_batch_id=payout_batch_id
    )


def payout_batch_wrong_state(payout_batch_id: str, state: str) -> Refusal:
    """The batch is further, or not so far."""
    return wrong_state(
        "PAYOUT_BATCH_WRONG_STATE",
        f"the batch is {state.lower()}, where this cannot be done any more, or not yet; look at it again",
        payout_batch_id=payout_batch_id,
        state=state,
    )


def second_person_needed(payout_batch_id: str) -> Refusal:
    """Who prepares does not approve."""
    return Refusal(
        grpc.StatusCode.PERMISSION_DENIED,
        "SECOND_PERSON_NEEDED",
        "you prepared this batch; somebody else has to approve it",
        domain=DOMAIN,
        metadata={"payout_batch_id": payout_batch_id},
    )


def payout_not_payable(creator_id: str, withheld: str) -> Refusal:
    """Something happened since the batch was prepared."""
    return wrong_state(
        "PAYOUT_NOT_PAYABLE",
        f"what the batch pays to {creator_id} is not payable any more, or goes elsewhere by now; cancel it and prepare another",
        creator_id=creator_id,
        withheld=withheld,
    )


def nothing_payable(currency: str) -> Refusal:
    """Nobody is to be paid."""
    return wrong_state(
        "NOTHING_PAYABLE",
        f"nothing is payable in {currency}; ListPayablePayees says why for each creator",
        currency=currency,
    )


def payout_not_found(payout_id: str) -> Refusal:
    """There is no such payout."""
    return not_found("PAYOUT_NOT_FOUND", "there is no such payout in your organisation", payout_id=payout_id)


def payout_wrong_state(payout_id: str, state: str) -> Refusal:
    """The payout is further, or not so far."""
    return wrong_state(
        "PAYOUT_WRONG_STATE",
        f"the payout is {state.lower()}, where this cannot be done any more, or not yet; look at it again",
        payout_id=payout_id,
        state=state,
    )


def payer_missing() -> Refusal:
    """Nobody said from where."""
    return wrong_state("PAYER_MISSING", "nobody said from which account payouts are made; say it by SetPayer first")


def no_bank_currency(currency: str) -> Refusal:
    """It is none of ISO 4217."""
    return wrong_state("NO_BANK_CURRENCY", f"no bank transfers {currency}; ask for the file as CSV", currency=currency)


def period_invalid(field: str, message: str) -> Refusal:
    """This is no period."""
    return invalid("PERIOD_INVALID", f"{field}: {message}", field=field)


def not_own_revenue(creator_id: str) -> Refusal:
    """It is somebody else's."""
    return Refusal(
        grpc.StatusCode.PERMISSION_DENIED,
        "NOT_OWN_REVENUE",
        "your account does not stand for this creator, or for more than one and you did not say which; ask your organisation to name your"
        " account in the payee",
        domain=DOMAIN,
        metadata={"creator_id": creator_id},
    )


def invoice_not_found(invoice_id: str) -> Refusal:
    """There is no such invoice, or none of theirs."""
    return not_found("INVOICE_NOT_FOUND", "there is no such invoice, or it is not yours", invoice_id=invoice_id)


def invoice_issuer_missing() -> Refusal:
    """Nobody said who sells."""
    return wrong_state(
        "INVOICE_ISSUER_MISSING", "nobody said who stands on invoices as the seller; say it by SetInvoiceIssuer first"
    )


def processor_report_invalid(line: int, message: str) -> Refusal:
    """The report cannot be read."""
    return invalid("PROCESSOR_REPORT_INVALID", f"line {line}: {message}", line=str(line))


def case_not_found(case_id: str) -> Refusal:
    """There is no such case."""
    return not_found("CASE_NOT_FOUND", "there is no such case in your organisation", case_id=case_id)


def case_wrong_state(case_id: str, state: str) -> Refusal:
    """Somebody said something else about it before."""
    return wrong_state(
        "CASE_WRONG_STATE",
        f"the case is {state.lower()} already; look at what was said of it",
        case_id=case_id,
        state=state,
    )


def invalid(reason: str, message: str, **metadata: str) -> Refusal:
    """Something in the request cannot be right: INVALID_ARGUMENT."""
    return Refusal(grpc.StatusCode.INVALID_ARGUMENT, reason, message, domain=DOMAIN, metadata=metadata)


def not_found(reason: str, message: str, **metadata: str) -> Refusal:
    """What is named is not there, or not the caller's: NOT_FOUND."""
    return Refusal(grpc.StatusCode.NOT_FOUND, reason, message, domain=DOMAIN, metadata=metadata)


def wrong_state(reason: str, message: str, **metadata: str) -> Refusal:
    """Things do not stand so that this could be done: FAILED_PRECONDITION."""
    return Refusal(grpc.StatusCode.FAILED_PRECONDITION, reason, message, domain=DOMAIN, metadata=metadata)
