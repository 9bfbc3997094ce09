// What each reason means to the person in front of the screen, and what they can do about it.
//
// The records are keyed by the enums of the contracts, so a reason without words does not compile.

import type { ErrorReason as AssetsReason } from "@gen/reelmesh/assets/v1/assets_pb";
import type { ErrorReason as DrmReason } from "@gen/reelmesh/drm/v1/drm_pb";
import type { ErrorReason as IdentityReason } from "@gen/reelmesh/identity/v1/identity_pb";
import type { ErrorReason as PackagingReason } from "@gen/reelmesh/packaging/v1/packaging_pb";
import type { ErrorReason as PolicyReason } from "@gen/reelmesh/policy/v1/policy_pb";
import type { ErrorReason as RpcReason } from "@gen/reelmesh/rpc/v1/errors_pb";
import type { ErrorReason as TranscodeReason } from "@gen/reelmesh/transcode/v1/transcode_pb";
import type { ErrorReason as UploadReason } from "@gen/reelmesh/upload/v1/upload_pb";

/** What is wrong, and how to mend it. */
export interface Words {
  readonly title: string;
  readonly advice: string;
}

type Names<Enum> = Exclude<keyof Enum, "UNSPECIFIED">;
type Table<Enum> = Readonly<Record<Names<Enum>, Words>>;

const NEW_LINK = "Ask for a new link, or start playback again if you are the operator.";

const rpc: Table<typeof RpcReason> = {
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
};

const policy: Table<typeof PolicyReason> = {
  TICKET_MISSING: { title: "This video needs a playback ticket", advice: NEW_LINK },
  TICKET_INVALID: { title: "This playback ticket is not valid", advice: `It was damaged or changed. ${NEW_LINK}` },
  TICKET_EXPIRED: { title: "Your time to watch is over", advice: `The playback session has expired. ${NEW_LINK}` },
  TICKET_OTHER_PACKAGE: { title: "This ticket is for another video", advice: NEW_LINK },
  SESSION_REVOKED: {
    title: "This playback was ended by the operator",
    advice: "The session cannot be resumed. Contact the operator if you think this is a mistake.",
  },
  KEY_NOT_ENTITLED: {
    title: "You may not watch this version",
    advice: "Your session holds no right to its decryption key. Ask the operator for access.",
  },
  ASSET_NOT_PLAYABLE: {
    title: "This video is not ready yet",
    advice: "It is still being processed, or processing failed. Check its state in the library.",
  },
  ASSET_WITHDRAWN: {
    title: "This video was withdrawn",
    advice: "It was deleted and can no longer be watched.",
  },
  CODE_INVALID: { title: "This link was already used", advice: `Each link opens the video once. ${NEW_LINK}` },
  CODE_EXPIRED: { title: "This link is too old", advice: `Links work for a few minutes only. ${NEW_LINK}` },
  SESSION_NOT_FOUND: {
    title: "There is no such playback session",
    advice: "It belongs to another organisation or never existed.",
  },
  PATH_INVALID: { title: "There is nothing at this address", advice: `The address of the video is wrong. ${NEW_LINK}` },
};

const assets: Table<typeof AssetsReason> = {
  ASSET_NOT_FOUND: {
    title: "There is no such video",
    advice: "Check the address. It may belong to another organisation.",
  },
  ASSET_DELETED: { title: "This video was deleted", advice: "Upload the file again if you still need it." },
  FIELD_NOT_UPDATABLE: { title: "This detail cannot be changed", advice: "Only the title can be changed." },
};

const upload: Table<typeof UploadReason> = {
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

const packaging: Table<typeof PackagingReason> = {
  PACKAGE_NOT_FOUND: {
    title: "There is no such package",
    advice: "It belongs to another organisation or never existed.",
  },
  PACKAGER_FAILED: {
    title: "Packaging failed",
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
};

const identity: Table<typeof IdentityReason> = {
  SIGN_IN_REFUSED: {
    title: "E-mail address and password do not belong together",
    advice: "Check both and try again, or set a new password.",
  },
  TOO_MANY_ATTEMPTS: {
    title: "There were too many wrong attempts",
    advice: "Wait a little before you try again. If you forgot your password, set a new one.",
  },
  ACCOUNT_LOCKED: {
    title: "Your account is locked",
    advice: "Nobody can sign in to it. Ask whoever runs this platform.",
  },
  PASSWORD_WEAK: {
    title: "This password is too easy to guess",
    advice: "Choose another one. Several unrelated words make a good password.",
  },
  CODE_INVALID: {
    title: "The code is not right",
    advice: "It may be mistyped, used or too old. Check the newest message, or ask for another code.",
  },
  REFRESH_TOKEN_INVALID: {
    title: "You are signed out",
    advice: "Your session has ended: it was not used for a long time, or ended from another device. Sign in again.",
  },
  REFRESH_TOKEN_REUSED: {
    title: "You were signed out for your safety",
    advice: "Your session was used from two places at once, so somebody may have copied it. Sign in again.",
  },
  SESSION_NOT_FOUND: { title: "This session has ended", advice: "Reload the page to see which are still open." },
  ACCOUNT_NOT_FOUND: {
    title: "There is no such account",
    advice: "It may have been removed, or belongs to another organisation.",
  },
  FIELD_NOT_UPDATABLE: { title: "This detail cannot be changed", advice: "Only name and language can be changed." },
  REGISTRATION_CLOSED: {
    title: "New accounts cannot be made here",
    advice: "Ask whoever runs this platform for an invitation.",
  },
  ORGANISATION_NOT_FOUND: {
    title: "There is no such organisation",
    advice: "Check the address, or ask to be made a member of it.",
  },
  MEMBER_NOT_FOUND: {
    title: "This person is not a member",
    advice: "Reload the page: somebody may have removed them meanwhile.",
  },
  MEMBER_EXISTS: { title: "This person is a member already", advice: "Change their roles instead." },
  LAST_ADMIN: {
    title: "Nobody would be left to manage this organisation",
    advice: "Give somebody else a role that manages members first.",
  },
  ROLE_NOT_FOUND: { title: "There is no such role", advice: "Reload the page: it may have been removed meanwhile." },
  ROLE_BUILT_IN: { title: "This role is built in", advice: "It cannot be changed. Make one of your own instead." },
  ROLE_IN_USE: { title: "Somebody still has this role", advice: "Take it from everybody first." },
  PERMISSION_UNKNOWN: { title: "There is no such permission", advice: "Check its name in the list of permissions." },
  PERMISSION_NOT_HELD: {
    title: "You cannot give what you do not have",
    advice: "Ask somebody who has this permission to give it.",
  },
  API_KEY_NOT_FOUND: { title: "There is no such key", advice: "It may have been revoked meanwhile. Reload the page." },
  EMAIL_UNKNOWN: {
    title: "Nobody has an account with this e-mail address",
    advice: "Check the address, or ask the person to create an account first.",
  },
  EMAIL_INVALID: {
    title: "This is not an e-mail address",
    advice: "Check it for typing errors: it looks like name@example.com.",
  },
  PASSKEY_REFUSED: {
    title: "This passkey is not accepted",
    advice: "It may have been removed from your account. Use another one, or sign in by password.",
  },
  PASSKEY_INVALID: {
    title: "This passkey cannot be taken",
    advice: "It must check who you are, by a PIN, a finger or your face. Try another device or key ring.",
  },
  PASSKEY_CHALLENGE_INVALID: {
    title: "That took too long",
    advice: "Try again, and answer your device within five minutes.",
  },
  PASSKEY_NOT_FOUND: { title: "There is no such passkey", advice: "It was removed meanwhile. Reload the page." },
  PASSKEY_EXISTS: { title: "This passkey was added before", advice: "There is nothing more to do." },
  TOO_MANY_PASSKEYS: {
    title: "You have as many passkeys as one may have",
    advice: "Remove one that you do not need any more, then add the new one.",
  },
  PASSKEYS_UNAVAILABLE: {
    title: "There are no passkeys on this install",
    advice: "They need a host name, and it has an IP address only. Sign in by password.",
  },
  PASSKEY_COPIED: {
    title: "This passkey may have been copied",
    advice: "It is not accepted any more. Sign in by password, remove it from your account, and add a new one.",
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
  UPLOAD_REFUSED: {
    title: "The server refused the file",
    advice: "Remove this upload and try again. If it happens again, tell the operator.",
  },
  FILE_UNREADABLE: {
    title: "The file can no longer be read",
    advice: "It was moved, changed or removed since you chose it. Choose it again.",
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
  "drm.reelmesh": drm,
  "identity.reelmesh": identity,
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
