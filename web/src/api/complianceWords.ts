// What refusals about the audit log and other proofs mean.

import type { ErrorReason as ComplianceReason } from "@gen/reelmesh/compliance/v1/compliance_pb";

import type { Words } from "./words";

/** Reasons of `compliance.reelmesh`. */
export const compliance: Readonly<Record<Exclude<keyof typeof ComplianceReason, "UNSPECIFIED">, Words>> = {
  LEAF_NOT_FOUND: {
    title: "There is no such entry in the audit log",
    advice: "Check the id. What has just happened is in the log after a moment.",
  },
  TREE_SIZE_INVALID: {
    title: "The audit log cannot prove that",
    advice: "Ask for a size that the log has grown to, and that the entry is in.",
  },
  CHECKPOINT_NOT_FOUND: {
    title: "There is no such checkpoint",
    advice: "Ask for the latest one, or for one with fewer cosignatures.",
  },
  COSIGNATURE_INVALID: {
    title: "This is no cosignature that the audit log knows",
    advice: "Check the checkpoint that was signed, and ask the operator whether the witness is known here.",
  },
  SLOT_NOT_FOUND: {
    title: "The audit log has nothing about this title's content yet",
    advice: "Check the link. What was just uploaded is in the log after a moment.",
  },
  OPERATOR_ONLY: {
    title: "Only whoever runs this platform may see that",
    advice: "Ask for the entries of your own organisation.",
  },
  DATA_REQUEST_NOT_FOUND: {
    title: "There is no such request",
    advice: "Check the link, or look at the list of your requests.",
  },
  DATA_REQUEST_WRONG_STATE: {
    title: "This request has moved on",
    advice: "Reload the page to see how it stands.",
  },
  SIGN_IN_TOO_OLD: {
    title: "Please sign in again first",
    advice: "Everything that is kept about you is given, or deleted, only to who has just signed in.",
  },
  PROOF_CODE_INVALID: {
    title: "This code is not good",
    advice: "Check it. It is good for seven days and five tries; after that, have the request made anew.",
  },
  SUBJECT_NOT_YOURS: {
    title: "Accounts are not your organisation's own",
    advice: "The person can ask on their account page. The operator of this platform can do it too.",
  },
  IDENTITY_UNPROVEN: {
    title: "Who is it that asks?",
    advice: "There is no account to send a code to. See to who the person is, and say that you did.",
  },
  HOLD_NOT_FOUND: {
    title: "There is no such hold",
    advice: "It belongs to another organisation or never existed.",
  },
  LIMITS_MISPLACED: {
    title: "To what is the objection?",
    advice: "Say what is not to be done with the data. Other requests say nothing of that.",
  },
};
