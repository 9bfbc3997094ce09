// What refusals about money mean.

import type { ErrorReason as PaymentsReason } from "@gen/reelmesh/payments/v1/payments_pb";

import type { Words } from "./words";

const LOOK_AT_WHAT_WAS_RECORDED = "Look at what was recorded of this sale before you try again.";

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
};
