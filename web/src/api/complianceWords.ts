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
  PERFORMER_NOT_FOUND: {
    title: "There is no such performer",
    advice: "Check the link, or look for them in the list of performers.",
  },
  PRODUCTION_NOT_FOUND: {
    title: "There is no such production",
    advice: "Check the link, or look for it in the list of productions.",
  },
  RECORD_NOT_FOUND: {
    title: "There is no such record",
    advice: "Check the link. Records that need not be kept any more are destroyed.",
  },
  PERFORMER_UNDER_AGE: {
    title: "Somebody was not 18 when this was filmed",
    advice: "Check the day of filming. Nobody who was not 18 may be seen in a title.",
  },
  REVIEWER_IS_SUBMITTER: {
    title: "You cannot review what you submitted",
    advice: "Ask somebody else to look at it.",
  },
  RECORD_NOT_OPENED: {
    title: "You have not looked at this record",
    advice: "Open it first, and then say whether it is good.",
  },
  RECORD_ALREADY_DECIDED: {
    title: "This record was decided on already",
    advice: "Load it again. If the decision was wrong, submit another record.",
  },
  BIRTH_DATE_DIFFERS: {
    title: "This is not the day of birth that was given",
    advice: "Read the document again. If it says something else than was given, reject it.",
  },
  RECORD_EXPIRED: {
    title: "This record is not good any more",
    advice: "Submit one that is good now.",
  },
  RECORDED_ASSET_UNKNOWN: {
    title: "There is no such title here",
    advice: "Check the link. What was just uploaded is known after a moment.",
  },
  PERFORMER_NOT_DEPICTED: {
    title: "The production does not name this performer",
    advice: "Add them to the production first.",
  },
  WITHDRAWAL_TOKEN_INVALID: {
    title: "This link is not good any more",
    advice: "Ask whoever gave it to you for a new one.",
  },
  RECORDS_STATEMENT_NOT_FOUND: {
    title: "There is no statement on this title",
    advice: "It is there once the production was approved.",
  },
  CUSTODIAN_NOT_SET: {
    title: "Nobody is named who keeps the records",
    advice: "Say first who the custodian of records is, and at which street address.",
  },
  COPY_UNREADABLE: {
    title: "This file cannot be kept as a record",
    advice: "Send a PDF, JPEG or PNG file.",
  },
  COPY_LOST: {
    title: "The copy of this record is gone or was changed",
    advice: "Ask whoever runs this platform to restore it, or submit it anew.",
  },
  TOO_MANY_NAMES: {
    title: "A performer has at most 100 other names",
    advice: "Leave out those that differ in writing only.",
  },
  CUSTODIAN_ONLY: {
    title: "Only the custodian of records opens identity documents",
    advice: "Ask the custodian, or whoever runs your organisation to make you one.",
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
  ANCHOR_NOT_FOUND: {
    title: "There is no such anchor of the audit log",
    advice: "List the anchors again and choose one of them.",
  },
  ANCHOR_WITHOUT_FILE: {
    title: "This anchor has no file",
    advice: "Only anchors by OpenTimestamps have one, some moments after they were begun.",
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
