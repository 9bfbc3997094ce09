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
  ANCHOR_NOT_FOUND: {
    title: "There is no such anchor of the audit log",
    advice: "List the anchors again and choose one of them.",
  },
  ANCHOR_WITHOUT_FILE: {
    title: "This anchor has no file",
    advice: "Only anchors by OpenTimestamps have one, some moments after they were begun.",
  },
};
