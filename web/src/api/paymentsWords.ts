// What refusals about money mean.

import type { ErrorReason as PaymentsReason } from "@gen/reelmesh/payments/v1/payments_pb";

import type { Words } from "./words";

const LOOK_AT_WHAT_WAS_RECORDED = "Look at what was recorded of this sale before you try again.";

const CHOOSE_ANOTHER_OFFER = "Choose another one of the offers for this video.";

/** Reasons of `payments.reelmesh`. */
export const payments: Readonly<Record<Exclude<keyof typeof PaymentsReason, "UNSPECIFIED">, Words>> = {
  CURRENCY_UNKNOWN: {
    title: "This currency is not known here",
    advice: "Use the three letters of ISO 4217, such as EUR, or one of BTC, ETH, LTC, USDC and USDT.",
  },
  CURRENCY_MIXED: {
    title: "The amounts are in different currencies",
    advice: "Give every amount in the currency of the sale, and record other currencies by themselves.",
  },
  AMOUNT_INVALID: { title: "This is not an amount", advice: "Enter an amount above zero." },
  SPLIT_IMPOSSIBLE: {
    title: "Tax and fee are more than the price",
    advice: "Check the amounts, or the rates in your split rules.",
  },
  SPLIT_RULES_MISSING: {
    title: "Nobody has said how prices are divided",
    advice: "Make split rules and activate them, then record the sale again.",
  },
  SPLIT_RULES_NOT_FOUND: { title: "There are no such split rules", advice: "Choose a version from the list." },
  REFERENCE_REUSED: {
    title: "This reference stands for something else",
    advice: `${LOOK_AT_WHAT_WAS_RECORDED} Something new needs a reference of its own.`,
  },
  SALE_NOT_FOUND: { title: "There is no such sale", advice: "Check the link, or look for it in the list of sales." },
  AMOUNT_EXCEEDS_REMAINING: {
    title: "So much is not left of this sale",
    advice: `${LOOK_AT_WHAT_WAS_RECORDED} Give back no more than what is left.`,
  },
  ENTRY_NOT_FOUND: { title: "There is no such entry", advice: "Check the link, or look for it in the journal." },
  ALREADY_REVERSED: { title: "This was reversed before", advice: LOOK_AT_WHAT_WAS_RECORDED },
  NOT_REVERSIBLE: {
    title: "This entry cannot be reversed",
    advice:
      "Reverse what was given back of the sale first. A reversal itself is mended by recording anew what it undid.",
  },
  NOT_A_CHARGEBACK: {
    title: "This entry is no chargeback of the sale",
    advice: "Choose the chargeback among the sale's entries.",
  },
  OVERDRAFT: { title: "The account does not hold enough", advice: "Wait until it does, or take a smaller amount." },
  BALANCE_OUT_OF_RANGE: { title: "The amount is too large to be counted", advice: "Check the amount." },
  ACCOUNT_NOT_FOUND: {
    title: "There is no such account yet",
    advice: "It comes to be with the first amount that is booked on it. Choose one from the list of balances.",
  },
  GRANT_INVALID: {
    title: "Nobody could watch what is granted",
    advice: "Say who may watch, and let it end after it begins.",
  },
  WEBHOOK_NOT_AUTHENTIC: {
    title: "This webhook is not from the processor",
    advice: "Check the secret and the addresses of the processor account.",
  },
  WEBHOOK_OUT_OF_TIME: {
    title: "This webhook is old",
    advice: "Check the clocks, and let the processor send it again.",
  },
  WEBHOOK_MALFORMED: { title: "This webhook makes no sense", advice: "Look at the processor's own log of it." },
  PROCESSOR_ACCOUNT_NOT_FOUND: {
    title: "There is no such processor account",
    advice: "Choose one from the list of processor accounts, or set it up first.",
  },
  PROCESSOR_ACCOUNT_INVALID: {
    title: "This processor account could not work",
    advice: "Give it every setting and secret that its processor needs, and no others.",
  },
  PROCESSOR_ACCOUNT_TAKEN: {
    title: "This id stands for another processor account",
    advice: "Choose another id.",
  },
  PROCESSOR_REFUSED: {
    title: "The payment processor does not take this",
    advice: "Nothing was charged. Try another way to pay, or tell the operator.",
  },
  PROCESSOR_UNAVAILABLE: {
    title: "The payment processor cannot be reached",
    advice: "Nothing was charged. Try again in a moment.",
  },
  CHECKOUT_NOT_FOUND: { title: "There is no such purchase", advice: "Go back to the video, and buy it again." },
  WEBHOOK_EVENT_NOT_FOUND: { title: "There is no such event", advice: "Choose one from the list of webhook events." },
  CHECKOUT_NOT_PAID: { title: "This was not paid", advice: "So nothing can go back." },
  NO_PROCESSOR_ACCOUNT: {
    title: "Nothing can be bought here yet",
    advice: "The operator has to set up a payment processor first.",
  },
  NOTHING_TO_PAY: { title: "This is free", advice: "Take it without paying." },
  NOT_YOUR_OWN: { title: "You buy for yourself here", advice: "Sign in as whoever is to watch." },
  OFFER_NOT_FOUND: {
    title: "There is no such offer",
    advice: "Check the link, or choose one from the list of offers.",
  },
  OFFER_INVALID: {
    title: "Nobody could buy this offer",
    advice: "Give every territory one price, a rental both of its windows, and let the offer end after it begins.",
  },
  OFFER_RETIRED: { title: "This offer was taken back", advice: CHOOSE_ANOTHER_OFFER },
  OFFER_NOT_NOW: { title: "This offer cannot be had now", advice: CHOOSE_ANOTHER_OFFER },
  OFFER_NOT_SOLD_HERE: { title: "This is not sold where you are", advice: CHOOSE_ANOTHER_OFFER },
  OFFER_NOT_FREE: { title: "This is not free", advice: "Buy it to watch it." },
  ENTITLEMENT_NOT_FOUND: {
    title: "There is no such entitlement",
    advice: "Check the link, or look for it in the list of what the viewer may watch.",
  },
  ENTITLEMENT_OF_SUBSCRIPTION: {
    title: "This comes with a subscription",
    advice: "Cancel the subscription, or refund what was paid for it.",
  },
  PROMOTION_NOT_FOUND: { title: "There is no such promotion", advice: "Choose one from the list of promotions." },
  PROMOTION_INVALID: {
    title: "Nobody could redeem this promotion",
    advice: "Let it end after it begins, with no more uses for one viewer than there are in all.",
  },
  PROMOTION_CODE_TAKEN: {
    title: "Another promotion has this code",
    advice: "End that one first, or take another code.",
  },
  PROMOTION_CODE_UNKNOWN: {
    title: "This code is not good",
    advice: "Check how it is written. It may have ended.",
  },
  PROMOTION_NOT_YET: { title: "This code is not good yet", advice: "Try again when the promotion has begun." },
  PROMOTION_USED_UP: { title: "Others were quicker", advice: "This code was used as often as it may be." },
  PROMOTION_REDEEMED: {
    title: "You have used this code already",
    advice: "What you got by it is among what you may watch.",
  },
  TOO_MANY_ATTEMPTS: { title: "Too many attempts", advice: "Wait a moment before you try another code." },
  PLAN_NOT_FOUND: { title: "There is no such plan", advice: "Choose one from the list of plans." },
  PLAN_RETIRED: { title: "This plan is not offered any more", advice: "Choose another plan." },
  PLAN_TERMS_INVALID: {
    title: "These terms contradict themselves",
    advice: "Let the days of dunning ascend, none after the grace, and give one price for each territory and currency.",
  },
  PRICE_NOT_OFFERED: {
    title: "This plan has no price for you",
    advice: "Choose another currency or another plan.",
  },
  SUBSCRIPTION_NOT_FOUND: {
    title: "There is no such subscription",
    advice: "Check the link, or look for it in the list of your subscriptions.",
  },
  SUBSCRIPTION_EXISTS: {
    title: "You have a subscription already",
    advice: "Change its plan, or wait until it is over.",
  },
  SUBSCRIPTION_STATE_WRONG: {
    title: "That is not possible as the subscription stands",
    advice: "Resume or pay it first; once it is over, subscribe anew.",
  },
  CHARGE_PENDING: {
    title: "A payment is under way",
    advice: "Try again in a few minutes, when its outcome is known.",
  },
  PROCESSOR_RENEWS: {
    title: "Only the payment processor can do this",
    advice: "Cancel the subscription, and subscribe anew when it is over.",
  },
  PAYEE_NOT_FOUND: { title: "Nobody has said how this creator is paid", advice: "Enter how they are paid first." },
  BANK_ACCOUNT_INVALID: { title: "This is no bank account", advice: "Look for a slip in the IBAN or the number." },
  PAYOUT_BATCH_NOT_FOUND: { title: "There is no such batch", advice: "Choose one from the list of batches." },
  PAYOUT_BATCH_WRONG_STATE: {
    title: "The batch is further than that, or not so far",
    advice: "Look at the batch again, and go on from there.",
  },
  SECOND_PERSON_NEEDED: {
    title: "You prepared this batch yourself",
    advice: "Ask somebody else who may approve payouts.",
  },
  PAYOUT_NOT_PAYABLE: {
    title: "Something changed since the batch was prepared",
    advice: "Cancel the batch, and prepare another.",
  },
  NOTHING_PAYABLE: {
    title: "Nothing is payable",
    advice: "The list of payable amounts says why, for each creator.",
  },
  PAYOUT_NOT_FOUND: { title: "There is no such payout", advice: "Choose one from the list of payouts." },
  PAYOUT_WRONG_STATE: {
    title: "The payout is further than that, or not so far",
    advice: "Look at the payout again, and go on from there.",
  },
  PAYER_MISSING: {
    title: "Nobody has said from which account payouts are made",
    advice: "Enter the bank account of your organisation first.",
  },
  PERIOD_INVALID: { title: "This is no period", advice: "Let it end after it begins, and not later than now." },
  NOT_OWN_REVENUE: {
    title: "This is not your own revenue",
    advice: "Say for which creator you ask, or ask your organisation to name your account there.",
  },
  INVOICE_NOT_FOUND: { title: "There is no such invoice", advice: "Choose one from your list of invoices." },
  INVOICE_ISSUER_MISSING: {
    title: "Nobody has said who sells",
    advice: "Enter the name and address that stand on invoices first.",
  },
  PROCESSOR_REPORT_INVALID: {
    title: "The report cannot be read",
    advice: "Mend the line that is named, and send the report again.",
  },
  CASE_NOT_FOUND: { title: "There is no such case", advice: "Choose one from the list of cases." },
  CASE_WRONG_STATE: { title: "The case is closed already", advice: "Look at what was said of it." },
  NO_BANK_CURRENCY: { title: "No bank transfers this currency", advice: "Take the file as a table instead." },
};
