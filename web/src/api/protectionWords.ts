// What refusals about leaks mean.

import type { ErrorReason as ProtectionReason } from "@gen/reelmesh/protection/v1/protection_pb";

import type { Words } from "./words";

/** Reasons of `protection.reelmesh`. */
export const protection: Readonly<Record<Exclude<keyof typeof ProtectionReason, "UNSPECIFIED">, Words>> = {
  COPY_NOT_FOUND: {
    title: "There is no such suspicious file",
    advice:
      "It has not passed the checks of uploads yet, is held for review, belongs to another organisation, or was deleted.",
  },
  COPY_UNDECODABLE: {
    title: "The suspicious file is no film",
    advice: "Send a film that a player can play, such as MP4 or Matroska.",
  },
  DETECTION_NOT_FOUND: {
    title: "There is no such search for a leak",
    advice: "It belongs to another organisation, or was forgotten after its time. Begin a new one.",
  },
  DETECTION_UNFINISHED: {
    title: "The search for the leak has no picture",
    advice: "Wait until it is completed. One that failed says why.",
  },
  TITLE_NOT_MARKED: {
    title: "That title has no watermark",
    advice: "Choose a watermarked title, or none to have all of them tried.",
  },
  DETECTION_FAILED: {
    title: "The search for the leak failed",
    advice: "Begin it again. If it fails again, give the operator the correlation id.",
  },
  LEAK_CASE_NOT_FOUND: {
    title: "There is no such case of a leak",
    advice: "It belongs to another organisation. Look through the list of cases.",
  },
  LEAK_CASE_CLOSED: {
    title: "The case is closed",
    advice: "Report the place again to have a new case.",
  },
  LEAK_EVIDENCE_NOT_FOUND: {
    title: "There is no such evidence",
    advice: "It belongs to another organisation. Look at the case that you mean.",
  },
  LEAK_EVIDENCE_DAMAGED: {
    title: "The evidence is damaged",
    advice: "What is stored is not what was preserved. The operator has to bring a backup back.",
  },
  LEAK_ACTION_NOT_FOUND: {
    title: "There is no such action",
    advice: "It concerns somebody else, or was never taken.",
  },
  LEAK_ACTION_STATE_WRONG: {
    title: "That was decided already",
    advice: "Look at the case again. What was approved can be taken back.",
  },
  LEAK_SECOND_PERSON_NEEDED: {
    title: "Somebody else has to decide",
    advice: "You approved this already. Ask a colleague.",
  },
  LEAK_APPEAL_IMPOSSIBLE: {
    title: "There is nothing to appeal or to decide",
    advice: "One appeal can be made against what holds, within its time, and is decided once.",
  },
  LEAK_CRAWLER_NOT_FOUND: {
    title: "There is no such crawler",
    advice: "It belongs to another organisation. Look through the list of crawlers.",
  },
  LEAK_FINDING_UNSIGNED: {
    title: "The finding is not signed",
    advice: "Sign it with the key of a crawler that is let in, and post it within five minutes.",
  },
  LEAK_FINDING_INVALID: {
    title: "The finding cannot be read",
    advice: "Send a JSON object with finding_id, url and find_time.",
  },
  TAKEDOWN_NOTIFIER_MISSING: {
    title: "Nobody signs notices yet",
    advice: "Say in whose name notices are written, and who signs them.",
  },
  TAKEDOWN_NOT_FOUND: {
    title: "There is no such notice",
    advice: "It belongs to another organisation. Look through the list of notices.",
  },
  TAKEDOWN_STATE_WRONG: {
    title: "That cannot happen to this notice",
    advice: "Look at where it stands now.",
  },
  TAKEDOWN_SIGNATURE_WRONG: {
    title: "That is not the signatory's name",
    advice: "Type the full name exactly as the notice has it.",
  },
  TAKEDOWN_URL_MISSING: {
    title: "The case has no address",
    advice: "Report the place with its URL: a platform can only remove what it can find.",
  },
  MATCH_NOT_FOUND: {
    title: "There is no such comparison",
    advice: "It belongs to another organisation, or was forgotten after its time. Begin a new one.",
  },
  MATCH_FAILED: {
    title: "The comparison failed",
    advice: "Begin it again. If it fails again, give the operator the correlation id.",
  },
  HOLD_NOT_FOUND: {
    title: "There is no such held film",
    advice: "It may not be for your organisation to decide about. Look at the list of what is.",
  },
  HOLD_DECIDED: {
    title: "It was decided about already",
    advice: "A decision is for good. What was released can be deleted, what was confirmed can be uploaded again.",
  },
  SECOND_REVIEWER_NEEDED: {
    title: "A second person has to release it",
    advice: "You proposed it. Ask a colleague of the compliance role to decide too.",
  },
  REVIEWER_NOT_A_PERSON: {
    title: "A person has to decide about it",
    advice: "Sign in with your own account: a key cannot decide about illegal content.",
  },
  EVIDENCE_NOT_THERE: {
    title: "The held file is not there",
    advice: "It is still being put in quarantine, or its time is over and it was destroyed.",
  },
  OPERATOR_ONLY: {
    title: "Only the operator may do that",
    advice: "It concerns the whole install. Use the operator's key.",
  },
  HASH_LISTS_FULL: {
    title: "The hash lists are full",
    advice: "Delete a list that is not needed, or ask the operator to raise the limit.",
  },
  OVERLAY_TEXT_INVALID: {
    title: "The overlay's text cannot be shown",
    advice: "Write a text, and use only the names in braces that are known.",
  },
  FILM_NOT_FOUND: {
    title: "There is no such film",
    advice: "It belongs to another organisation, or its upload is still being checked.",
  },
  REVIEW_COPY_NOT_FOUND: {
    title: "There is no such copy for review",
    advice: "It belongs to another organisation, or its time is over. Ask for a new one.",
  },
  REVIEW_COPY_NOT_READY: {
    title: "The copy for review is not ready",
    advice: "Wait until it is made. One that failed says why.",
  },
  OVERLAY_OFF: {
    title: "There is no overlay to burn in",
    advice: "Set your organisation's overlay and enable it first.",
  },
};
