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
  NOTICE_ELEMENT_MISSING: {
    title: "Something is missing",
    advice: "Fill in what is marked; without it the notice is not valid.",
  },
  NOTICE_MATERIAL_UNKNOWN: {
    title: "Nothing here is at that address",
    advice: "Open the page where you saw it, copy its whole address, and paste it.",
  },
  NOTICE_NOT_FOUND: {
    title: "There is no such notice",
    advice: "Check the reference. Notices about other organisations are not shown.",
  },
  NOTICE_LINK_INVALID: {
    title: "This link is not valid",
    advice: "Open the link of the last message as a whole. When a case is long over, its link ends.",
  },
  NOTICE_WRONG_STATE: {
    title: "That cannot be done any more",
    advice: "The notice moved on meanwhile. Look at where it stands now.",
  },
  NOTICE_SECOND_PERSON_NEEDED: {
    title: "Somebody else has to decide about this appeal",
    advice: "You made the decision that it is about.",
  },
  NOTICE_TERM_RUNNING: {
    title: "The term of the counter-notice has not ended",
    advice: "The material comes back by itself when it has, unless a suit is noticed.",
  },
  NOTICE_ANSWER_TOO_LATE: {
    title: "The time to answer is over",
    advice: "A court, or a body for settlement of disputes, may still look at it.",
  },
  NOTICES_TOO_MANY: {
    title: "Too many notices came from you",
    advice: "Wait a while, then send the next one.",
  },
  NOTICE_REPORT_PERIOD_INVALID: {
    title: "There is no report of such a period",
    advice: "End it after it begins, at most 400 days later.",
  },
};
