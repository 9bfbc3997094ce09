// What refusals about the audit log, proofs of age and jurisdictions mean.

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
  AGE_METHOD_UNAVAILABLE: { title: "This age cannot be proved in this way", advice: "Choose another way to prove it." },
  AGE_CHECK_NOT_FOUND: { title: "There is no such check of your age", advice: "Go back to the title and begin again." },
  AGE_CHECK_OVER: { title: "This check of your age is over", advice: "Go back to the title and begin again." },
  AGE_DELIVERY_NOT_AUTHENTIC: {
    title: "This did not come from the provider",
    advice: "Operators: check the secret that signs the provider's webhooks.",
  },
  AGE_DELIVERY_MALFORMED: {
    title: "The provider's answer cannot be read",
    advice: "Begin again, or choose another way to prove your age.",
  },
  AGE_PROVIDER_REFUSED: {
    title: "The provider does not begin this check",
    advice: "Choose another way to prove your age, or ask whoever runs this platform.",
  },
  AGE_PROOF_INVALID: {
    title: "This proof of your age is not good",
    advice: "Begin again with another one. Proofs run out, and each counts for one request.",
  },
  AGE_VIEWER_NOT_SELF: { title: "You can prove your own age only", advice: "Others have to sign in themselves." },
  AGE_VIEWER_MISSING: {
    title: "It is not said whose age is to be proved",
    advice: "Name the viewer, or sign in as a person.",
  },
  JURISDICTION_RULES_INVALID: {
    title: "A row of the table makes no sense",
    advice: "Correct it, and put the table in force again.",
  },
  JURISDICTION_TABLE_NOT_FOUND: {
    title: "There is no such version of the table",
    advice: "Choose one of the list of versions.",
  },
  CLASSIFICATION_NOT_FOUND: {
    title: "There is no such version of the classification",
    advice: "Ask for the current one.",
  },
};
