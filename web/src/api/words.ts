// What each reason means to the person in front of the screen, and what they can do about it.
//
// The records are keyed by the enums of the contracts, so a reason without words does not compile.

import type { ErrorReason as AssetsReason } from "@gen/reelmesh/assets/v1/assets_pb";
import type { ErrorReason as DrmReason } from "@gen/reelmesh/drm/v1/drm_pb";
import type { ErrorReason as RpcReason } from "@gen/reelmesh/rpc/v1/errors_pb";
import type { ErrorReason as TranscodeReason } from "@gen/reelmesh/transcode/v1/transcode_pb";

import { compliance } from "./complianceWords";
import { identity } from "./identityWords";
import { notifications } from "./notificationsWords";
import { packaging } from "./packagingWords";
import { payments } from "./paymentsWords";
import { policy } from "./policyWords";
import { upload } from "./uploadWords";
import { protection } from "./protectionWords";

/** What is wrong, and how to mend it. */
export interface Words {
  readonly title: string;
  readonly advice: string;
}

type Names<Enum> = Exclude<keyof Enum, "UNSPECIFIED">;
type Table<Enum> = Readonly<Record<Names<Enum>, Words>>;

const rpc: Table<typeof RpcReason> = {
  PROOF_INVALID: {
    title: "This device could not prove its key",
    advice: "Check the clock of the device, then try again; if it lasts, sign in again.",
  },
  CREDENTIAL_INVALID: {
    title: "Your sign-in is not accepted",
    advice: "It is unknown or no longer valid. Sign in again; operators find their key by “reelmesh key”.",
  },
  PERMISSION_MISSING: {
    title: "You may not do this",
    advice:
      "Your roles do not allow it. Ask an administrator of your organisation for one that does, or use a key that carries the permission.",
  },
  REQUEST_INVALID: {
    title: "The request was not understood",
    advice: "Check what you entered and try again. If the link was typed by hand, check that too.",
  },
  REQUEST_ID_REUSED: {
    title: "This was already asked for in another form",
    advice: "Reload the page and try again.",
  },
  ETAG_MISMATCH: {
    title: "Someone else changed this in the meantime",
    advice: "Reload the page to see the current state, then repeat your change.",
  },
  PAGE_TOKEN_INVALID: {
    title: "The list has moved on",
    advice: "Reload the page to see it from the top.",
  },
  DEPENDENCY_UNAVAILABLE: {
    title: "A part of the service is away",
    advice: "This usually passes within a minute. Try again shortly.",
  },
  DEADLINE_EXCEEDED: {
    title: "The service took too long to answer",
    advice: "Try again. If it happens often, tell the operator.",
  },
  INTERNAL: {
    title: "Something broke on our side",
    advice: "Try again. If it happens again, give the operator the correlation id below.",
  },
  DRAINING: {
    title: "The service is restarting",
    advice: "Try again in a few seconds.",
  },
  ROUTE_UNKNOWN: {
    title: "There is nothing at this address",
    advice: "Check the link. The page or file may also have been taken away.",
  },
  REQUEST_TOO_LARGE: {
    title: "This is more than the service takes at once",
    advice: "Shorten what you entered and try again.",
  },
  OVERLOADED: {
    title: "The service is very busy",
    advice: "Try again in a few seconds.",
  },
  RATE_LIMITED: {
    title: "That was too much in a short time",
    advice: "Wait a moment, then try again. Someone else at your address may have used up the limit.",
  },
};

const assets: Table<typeof AssetsReason> = {
  ASSET_NOT_FOUND: {
    title: "There is no such video",
    advice: "Check the address. It may belong to another organisation.",
  },
  ASSET_DELETED: { title: "This video was deleted", advice: "Upload the file again if you still need it." },
  FIELD_NOT_UPDATABLE: { title: "This detail cannot be changed", advice: "Only the title can be changed." },
  ASSET_HELD: {
    title: "This video has to be kept for now",
    advice: "A law or a court asks for it. Your compliance officer can say for how long.",
  },
};

const transcode: Table<typeof TranscodeReason> = {
  JOB_NOT_FOUND: { title: "There is no such job", advice: "It belongs to another organisation or never existed." },
  JOB_WRONG_STATE: { title: "The job has already ended", advice: "Reload the page to see how." },
  MASTER_EMPTY: { title: "The file is empty", advice: "Export it again and check its size, then upload it." },
  MASTER_NOT_MEDIA: {
    title: "This is not a video file",
    advice: "Upload a video such as MP4, MOV, MKV, WebM or MPEG-TS. Unpack archives first.",
  },
  MASTER_PLAYLIST: {
    title: "This is a playlist, not a video",
    advice: "It only points at other files. Upload the video itself.",
  },
  MASTER_TRUNCATED: {
    title: "The file ends too early",
    advice: "It was probably copied or exported incompletely. Export it again and upload that.",
  },
  MASTER_TOO_MANY_STREAMS: {
    title: "The file has too many tracks",
    advice: "Export it with fewer audio, subtitle or data tracks.",
  },
  MASTER_DIMENSIONS: {
    title: "The picture is too large or too small",
    advice: "Export it at a common size, such as 1920 × 1080.",
  },
  MASTER_TOO_LONG: {
    title: "The video is too long",
    advice: "Split it into parts, or ask the operator to raise the limit.",
  },
  MASTER_NO_VIDEO: {
    title: "There is no picture in this file",
    advice: "It holds sound only. Upload a file with a video track.",
  },
  MASTER_UNDECODABLE: {
    title: "The video cannot be decoded",
    advice: "The file is damaged, or uses a codec that is not supported. Export it as H.264 or ProRes and try again.",
  },
  JOB_CANCELLED: {
    title: "Processing was cancelled",
    advice: "Someone stopped it, or deleted the video. Upload the file again if you still need it.",
  },
  ENCODE_FAILED: {
    title: "Encoding failed",
    advice: "Upload the file again. If it fails again, give the operator the correlation id.",
  },
};

const drm: Table<typeof DrmReason> = {
  KEY_NOT_FOUND: {
    title: "The key of this video does not exist",
    advice: "The video has to be packaged again. Tell the operator.",
  },
  KEY_ID_MALFORMED: {
    title: "The player asked for a key in the wrong way",
    advice: "Reload the page. If it happens again, tell the operator.",
  },
  KEYSTORE_LOCKED: {
    title: "The key store is locked",
    advice: "No protected video can be played until the operator unlocks it.",
  },
  FAIRPLAY_NOT_CONFIGURED: {
    title: "Apple's protection is not set up here",
    advice: "Try another browser or device, or tell the operator.",
  },
  FAIRPLAY_SPC_REFUSED: {
    title: "The player's request could not be read",
    advice: "Try again. If it happens again, update the device.",
  },
  FAIRPLAY_SPC_REPLAYED: {
    title: "The player's request was used before, or is too old",
    advice: "Try again. If it happens again, check the device's clock.",
  },
  FAIRPLAY_DEVICE_UNFIT: {
    title: "This device cannot play the video as it must be played",
    advice: "Update the device, or use another one.",
  },
  SECURITY_LEVEL_TOO_LOW: {
    title: "This player does not protect the video well enough",
    advice: "Choose a lower resolution, or watch on a television or in the app of its maker.",
  },
  OUTPUT_UNPROTECTED: {
    title: "This screen's connection is not protected well enough",
    advice: "Choose a lower resolution, or connect a screen with HDCP.",
  },
  OFFLINE_NOT_ALLOWED: {
    title: "This video cannot be kept for watching offline",
    advice: "Watch it while you are connected.",
  },
  LICENCE_REVOKED: {
    title: "The right to watch this video offline was taken back",
    advice: "Ask whoever runs this platform why. You may be able to start it anew.",
  },
  LICENCE_NOT_FOUND: {
    title: "There is no such licence",
    advice: "It may have ended. Reload the list.",
  },
  LICENCE_POLICY_INVALID: {
    title: "These rules contradict each other",
    advice: "Change what is marked and save again.",
  },
  DEVICE_NOT_PROVEN: {
    title: "This device is not known",
    advice: "Register the device in your account, then start the video again.",
  },
  LICENCE_UNRECORDED: {
    title: "No video can be started right now",
    advice: "Try again in a moment.",
  },
  LICENCE_REQUEST_MALFORMED: {
    title: "The player asked for a licence in a way that is not understood",
    advice: "Reload the page. If it happens again, tell the operator.",
  },
  KEY_SYSTEM_NOT_OFFERED: {
    title: "This browser's protection is not supported here",
    advice: "Try another browser or device, or tell the operator.",
  },
  UPSTREAM_UNAVAILABLE: {
    title: "The licence server does not answer",
    advice: "Try again in a moment.",
  },
  UPSTREAM_REFUSED_US: {
    title: "The licence server does not know this installation",
    advice: "Protected video cannot be played until the operator has set it up. Tell them.",
  },
  UPSTREAM_REFUSED_PLAYER: {
    title: "The licence server gives this player no licence",
    advice: "Update the browser or device, or use another one.",
  },
  UPSTREAM_CONTRADICTED: {
    title: "The licence server gave a licence that must not be used",
    advice: "Try again. If it happens again, tell the operator.",
  },
  CPIX_REFUSED: {
    title: "The packager asked for keys in the wrong way",
    advice: "Change the packager's settings as its log says.",
  },
  CPIX_MALFORMED: {
    title: "The packager's request for keys cannot be read",
    advice: "Have the packager send CPIX 2.3 without a DTD.",
  },
  CPIX_SIGNATURE_INVALID: {
    title: "The signature of a request for keys is not good",
    advice: "Give the packager's signing certificate to the key server, or have it sign nothing.",
  },
  CERTIFICATE_UNUSABLE: {
    title: "The certificate cannot be used",
    advice: "Choose one with an RSA key of 2048 bits or more that is valid now.",
  },
  PACKAGER_SIGNATURE_INVALID: {
    title: "The packager is not known, or signs with another key",
    advice: "Make the packager again and give it the new id, key and vector.",
  },
  PACKAGER_REQUEST_INVALID: {
    title: "The packager asked for keys in a way that is not offered",
    advice: "Change the packager's settings as its log says.",
  },
  KEYS_REVOKED: {
    title: "This video has new keys",
    advice: "Reload the page; it is played with them.",
  },
  KEYSTORE_UNREACHABLE: {
    title: "The key store does not answer",
    advice: "Nothing is lost. Try again in a moment; if it lasts, tell the operator.",
  },
  ROTATION_NOT_FOUND: {
    title: "There is no such change of keys",
    advice: "Check its id: it may belong to another organisation.",
  },
  EMERGENCY_RUNNING: {
    title: "These keys are being changed already",
    advice: "Follow the emergency that runs; another one is not needed.",
  },
  NOTHING_TO_ROTATE: {
    title: "There are no keys to change",
    advice: "Check which packages you named: they have no keys here, or these were destroyed.",
  },
  OPERATOR_ONLY: {
    title: "Only the operator may do this",
    advice: "It concerns the keys of every organisation. Ask whoever runs this platform.",
  },
  KEYSTORE_UNABLE: {
    title: "The key store cannot do this itself",
    advice: "The message says where it is done instead.",
  },
  ESCROW_MISSING: {
    title: "There is no escrow yet",
    advice: "Make one first, by “reelmesh keys escrow”.",
  },
  ESCROW_INVALID: {
    title: "This escrow would not hold",
    advice: "Use a key of 3072 bits or more, and let no more shares be needed than there are.",
  },
  KEY_MISMATCH: {
    title: "These are not the keys of this install",
    advice: "Nothing was changed. Bring the shares of this install's own escrow together.",
  },
};

/** Reasons of the tus gateway (gateway/tus/refusals.py) that no contract names. */
const tus: Readonly<Record<string, Words>> = {
  VERSION_UNSUPPORTED: { title: "This page and the server do not fit together", advice: "Reload the page." },
  METHOD_UNSUPPORTED: { title: "This page and the server do not fit together", advice: "Reload the page." },
  CONTENT_TYPE_UNSUPPORTED: { title: "This page and the server do not fit together", advice: "Reload the page." },
  EXTENSION_UNSUPPORTED: { title: "This page and the server do not fit together", advice: "Reload the page." },
  HEADER_INVALID: {
    title: "The server does not take this file name or title",
    advice: "Rename the file or change the title, then add it again.",
  },
  BODY_TOO_LONG: {
    title: "The file grew while it was being uploaded",
    advice: "Wait until it is written completely, then add it again.",
  },
  CHECKSUM_MISMATCH: {
    title: "A part of the file arrived damaged",
    advice: "Nothing damaged was kept. Try again.",
  },
  UPLOAD_GONE: {
    title: "This upload was cancelled or expired",
    advice: "Try again to start over.",
  },
  SUPERSEDED: {
    title: "This file is being uploaded somewhere else",
    advice: "Another tab or program goes on with it. Close that one, then try again here.",
  },
};

/** Reasons of this application itself: what no server can tell, because it did not answer or is not asked. */
const here = {
  OFFLINE: { title: "You are offline", advice: "Check your connection. Everything goes on when it is back." },
  UNREACHABLE: {
    title: "The service cannot be reached",
    advice: "Check that it runs (“reelmesh status”) and that nothing blocks the connection, then try again.",
  },
  EDGE_UNAVAILABLE: {
    title: "The video service is busy or restarting",
    advice: "Your place is kept. Try again in a moment.",
  },
  MEDIA_MISSING: {
    title: "A part of this video is missing",
    advice: "The server does not have it any more. Tell the operator.",
  },
  MANIFEST_UNREADABLE: {
    title: "The description of this video cannot be read",
    advice: "It was packaged wrongly. Try the other format, or tell the operator.",
  },
  LICENCE_UNREADABLE: {
    title: "The licence cannot be read",
    advice: "The licence server answered with something the player does not understand. Tell the operator.",
  },
  KEY_MISSING: {
    title: "A decryption key is missing",
    advice: "The licence does not hold a key for every track of this video. Tell the operator.",
  },
  KEY_WRONG: {
    title: "This video cannot be decrypted",
    advice: "The key that was handed out does not fit the video. It has to be packaged again: tell the operator.",
  },
  DECODE_FAILED: {
    title: "The picture cannot be decoded",
    advice: "Try again. If it stops at the same place, try another quality, or another browser.",
  },
  DRM_UNSUPPORTED: {
    title: "This browser cannot play protected video",
    advice: "It has no Clear Key support. Use a current Chrome, Edge or Firefox.",
  },
  INSECURE_CONTEXT: {
    title: "Protected video needs a secure address",
    advice: "Open this page over HTTPS, or on the machine itself at http://127.0.0.1.",
  },
  FORMAT_UNSUPPORTED: {
    title: "This browser cannot play this video",
    advice: "It supports none of its formats. Use a current Chrome, Edge or Firefox.",
  },
  PLAYBACK_NEEDED: {
    title: "You need a link to watch this",
    advice: "Open the link that you were given, or sign in to start playback yourself.",
  },
  PLAYER_FAILED: {
    title: "The player stopped",
    advice: "Try again. If it happens again, tell the operator.",
  },
  OVERLAY_TAMPERED: {
    title: "The overlay was removed or hidden",
    advice:
      "It has to be seen while the film plays. Turn off whatever changes this page, and try again. This was reported.",
  },
  UPLOAD_REFUSED: {
    title: "The server refused the file",
    advice: "Remove this upload and try again. If it happens again, tell the operator.",
  },
  FILE_UNREADABLE: {
    title: "The file can no longer be read",
    advice: "It was moved, changed or removed since you chose it. Choose it again.",
  },
  KEPT_AS_EVIDENCE: {
    title: "This file was sent as evidence",
    advice: "It is kept, and nobody can play it. To have it as a title, upload it here.",
  },
  PASSKEY_CANCELLED: {
    title: "No passkey was used",
    advice: "You closed the question, or it took too long. Try again when you are ready.",
  },
  PASSKEY_HELD: {
    title: "This device has a passkey of yours already",
    advice: "You can sign in with it. To add another one, use another device or key ring.",
  },
  PASSKEY_UNSUPPORTED: {
    title: "This browser cannot use passkeys here",
    advice: "It is too old, or this page did not come over a secure connection. Sign in by password.",
  },
  PASSKEY_ELSEWHERE: {
    title: "Passkeys do not work at this address",
    advice: "They are bound to the name of the site. Open it by its name, then try again.",
  },
  UNKNOWN: {
    title: "Something went wrong",
    advice: "Try again. If it happens again, give the operator the correlation id.",
  },
} as const satisfies Readonly<Record<string, Words>>;

/** A reason that this application finds by itself. */
export type OwnReason = keyof typeof here;

/** The tables by the domain that stands in `google.rpc.ErrorInfo.domain`; `here` is this application. */
export const WORDS: Readonly<Record<string, Readonly<Record<string, Words>>>> = {
  "rpc.reelmesh": rpc,
  "policy.reelmesh": policy,
  "assets.reelmesh": assets,
  "upload.reelmesh": upload,
  "transcode.reelmesh": transcode,
  "packaging.reelmesh": packaging,
  "protection.reelmesh": protection,
  "drm.reelmesh": drm,
  "identity.reelmesh": identity,
  "notifications.reelmesh": notifications,
  "payments.reelmesh": payments,
  "compliance.reelmesh": compliance,
  "tus.reelmesh": tus,
  here,
};

/** The words of a reason. The edge sends the bare name, without its domain: then what `rpc` and `policy` mean by it counts first. */
export function wordsOf(reason: string, domain = ""): Words | undefined {
  const first = WORDS[domain]?.[reason];
  if (first !== undefined) return first;
  for (const table of Object.values(WORDS)) {
    const words = table[reason];
    if (words !== undefined) return words;
  }
  return undefined;
}
