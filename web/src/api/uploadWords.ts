// What refusals about uploads mean.

import type { ErrorReason as UploadReason } from "@gen/reelmesh/upload/v1/upload_pb";

import type { Words } from "./words";

/** Reasons of `upload.reelmesh`. */
export const upload: Readonly<Record<Exclude<keyof typeof UploadReason, "UNSPECIFIED">, Words>> = {
  UPLOAD_NOT_FOUND: {
    title: "The server no longer knows this upload",
    advice: "It was given up or expired. Add the file again to start over.",
  },
  OFFSET_MISMATCH: {
    title: "The upload got out of step",
    advice: "Resume it: it goes on where the server stopped.",
  },
  CHUNK_CORRUPT: {
    title: "A part of the file arrived damaged",
    advice: "Nothing damaged was kept. Resume the upload.",
  },
  FILE_CORRUPT: {
    title: "The file arrived damaged",
    advice: "It does not match its checksum. Remove this upload and add the file again.",
  },
  FILE_TOO_LARGE: {
    title: "The file is too large",
    advice:
      "The server does not take files of this size. Upload a smaller master, or ask the operator to raise the limit.",
  },
  BEYOND_SIZE: {
    title: "The file grew while it was being uploaded",
    advice: "Wait until it is written completely, then add it again.",
  },
  INCOMPLETE: {
    title: "The upload is not complete",
    advice: "Resume it to send what is missing.",
  },
  NOT_RECEIVING: {
    title: "This upload is closed",
    advice: "It was finished, cancelled or expired. Add the file again to start over.",
  },
  WRITER_BUSY: {
    title: "This file is being uploaded somewhere else",
    advice: "Close the other tab or program, then resume.",
  },
  PRESIGN_UNSUPPORTED: {
    title: "Direct uploads to the store are not available",
    advice: "Upload through this page instead.",
  },
  NO_SPACE: {
    title: "The store is full",
    advice: "What arrived is kept. Ask the operator to free some space, then resume.",
  },
  BYTES_LOST: {
    title: "The server lost a part of this file",
    advice: "Its disk was damaged or replaced. Remove this upload and add the file again.",
  },
};
