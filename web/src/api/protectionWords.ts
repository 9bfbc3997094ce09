// What refusals about leaks mean.

import type { ErrorReason as ProtectionReason } from "@gen/reelmesh/protection/v1/protection_pb";

import type { Words } from "./words";

/** Reasons of `protection.reelmesh`. */
export const protection: Readonly<Record<Exclude<keyof typeof ProtectionReason, "UNSPECIFIED">, Words>> = {
  COPY_NOT_FOUND: {
    title: "There is no such suspicious file",
    advice: "Upload it first; it belongs to another organisation, or was deleted.",
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
  MATCH_NOT_FOUND: {
    title: "There is no such comparison",
    advice: "It belongs to another organisation, or was forgotten after its time. Begin a new one.",
  },
  MATCH_FAILED: {
    title: "The comparison failed",
    advice: "Begin it again. If it fails again, give the operator the correlation id.",
  },
};
