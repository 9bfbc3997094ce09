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

import { oauthWords } from "./oauthWords";

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
    title: "Your key is not accepted",
    advice: "It is unknown or no longer valid. Sign in with the key that “reelmesh key” prints.",
  },
  PERMISSION_MISSING: {
    title: "Your key may not do this",
    advice: "Use a key that carries the permission, or ask the operator to grant it.",
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

const policy: Table<typeof PolicyReason> = {
  TICKET_MISSING: { title: "This video needs a playback ticket", advice: NEW_LINK },
  TICKET_INVALID: { title: "This playback ticket is not valid", advice: `It was damaged or changed. ${NEW_LINK}` },
  TICKET_EXPIRED: { title: "Your time to watch is over", advice: `The playback session has expired. ${NEW_LINK}` },
  TICKET_OTHER_PACKAGE: { title: "This ticket is for another video", advice: NEW_LINK },
  SESSION_REVOKED: {
    title: "This playback was ended by the operator",
    advice: "The session cannot be resumed. Contact the operator if you think this is a mistake.",
  },
  ENTITLEMENT_REQUIRED: {
    title: "Buy or rent this to watch it",
    advice: "Your account does not include it. If you just paid, try again in a moment.",
  },
  VIEWER_LOCKED: { title: "This account is locked", advice: "Ask whoever runs this platform." },
  OUTSIDE_WINDOW: {
    title: "This can not be watched now",
    advice: "It is available for a limited time, which has not begun or is over.",
  },
  NETWORK_REFUSED: {
    title: "This can not be watched from your network",
    advice: "Connect by the network that your organisation lets in, such as its VPN.",
  },
  TERRITORY_REFUSED: {
    title: "This can not be watched where you are",
    advice: "Its owners allow it in other countries only.",
  },
  TERRITORY_UNKNOWN: {
    title: "It is not known where you are",
    advice: "This can be watched in some countries only. Try again without a VPN or proxy.",
  },
  CONSENT_MISSING: {
    title: "This can not be watched any more",
    advice: "The consent of somebody who is seen in it is not on record.",
  },
  AGE_PROOF_REQUIRED: { title: "Prove your age to watch this", advice: "Verify your age once, and try again." },
  MATURITY_EXCEEDED: {
    title: "This is not for this profile",
    advice: "It is rated for older viewers. Choose another profile.",
  },
  DEVICE_REFUSED: {
    title: "This device may not play",
    advice: "Register it in your account, or watch on a device that is registered.",
  },
  TOO_MANY_STREAMS: {
    title: "You are watching on too many screens",
    advice: "Stop one of them, wait half a minute, and try again.",
  },
  RISK_TOO_HIGH: {
    title: "Playback was stopped because of unusual activity",
    advice: "If that was you, ask whoever runs this platform to let you in again.",
  },
  DOWNLOAD_REFUSED: {
    title: "This can not be kept for watching offline",
    advice: "Its owners allow it to be streamed only.",
  },
  DECISION_NOT_FOUND: {
    title: "There is no such decision",
    advice: "Decisions are kept for 30 days. Look for it in the list.",
  },
  RULE_SET_NOT_FOUND: { title: "There is no such set of rules", advice: "Choose one from the list." },
  PLAYBACK_REVOKED: {
    title: "This may not be watched any more",
    advice: "The operator ended it for this account, device or video. Ask them why.",
  },
  REVOCATION_NOT_FOUND: { title: "There is no such revocation", advice: "Choose one from the list." },
  RULE_SET_INVALID: {
    title: "These rules do not make sense together",
    advice: "See what is said about each of them, and mend it.",
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
  VIEWER_NOT_SELF: {
    title: "You can watch as yourself only",
    advice: "Start the playback without naming a viewer. For somebody else, an API key can start it.",
  },
  ACCESS_TOKEN_INVALID: { title: "This access token is not valid", advice: `It was damaged or changed. ${NEW_LINK}` },
  ACCESS_TOKEN_EXPIRED: { title: "Your access has ended", advice: NEW_LINK },
  ACCESS_TOKEN_EARLY: {
    title: "Your access has not begun yet",
    advice: "Try again later, and check that the clock of this device is right.",
  },
  ACCESS_TOKEN_CLAIM_UNMET: {
    title: "Your access is for something else",
    advice: `It may be bound to another place, network or video. ${NEW_LINK}`,
  },
  ACCESS_TOKEN_CLAIM_UNSUPPORTED: {
    title: "This access token cannot be used here",
    advice: "It asks for something that this server cannot check. Tell whoever gave it to you.",
  },
  ACCESS_TOKEN_REUSED: { title: "This access was already used", advice: NEW_LINK },
  ACCESS_TOKEN_TOO_LONG: {
    title: "The access token would be too long",
    advice: "It has too many conditions. Leave some out.",
  },
  PREVIEW_URL_INVALID: {
    title: "This preview link is not valid",
    advice: "It was damaged or changed. Ask for a new one.",
  },
  PREVIEW_URL_EXPIRED: {
    title: "This preview link is too old",
    advice: "Preview links work for an hour at most. Ask for a new one.",
  },
  PREVIEW_URL_ELSEWHERE: {
    title: "This preview link works elsewhere only",
    advice: "It is bound to the network that it was made for. Open it there.",
  },
  PREVIEW_LIFETIME_INVALID: {
    title: "A preview link cannot last that long",
    advice: "Choose between one minute and one hour.",
  },
  PREVIEW_NOT_FOUND: {
    title: "There is no such preview",
    advice: "The video may have no poster or thumbnails, or belong to another organisation.",
  },
  NETWORK_INVALID: {
    title: "This is not a network",
    advice: "Enter an IP address, or a network such as 203.0.113.0/24.",
  },
  URI_CONDITION_INVALID: {
    title: "This condition cannot be checked",
    advice: "Simplify the expression, or give a digest of 64 hex digits.",
  },
  CDN_NOT_FOUND: { title: "There is no such CDN", advice: "Ask the operator which CDNs are set up." },
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

const identity: Table<typeof IdentityReason> = {
  ...oauthWords,
  SIGN_IN_REFUSED: {
    title: "Address and password do not belong together",
    advice: "Check both, or ask for a new password.",
  },
  TOO_MANY_ATTEMPTS: {
    title: "There were too many wrong attempts",
    advice: "Wait a while, then try again.",
  },
  ACCOUNT_LOCKED: {
    title: "This account is locked",
    advice: "Ask whoever runs this platform.",
  },
  PASSWORD_WEAK: {
    title: "This password is too easy to guess",
    advice: "Several unrelated words make a good one.",
  },
  CODE_INVALID: {
    title: "The code is not right",
    advice: "It may be mistyped, used or too old. Ask for a new one.",
  },
  REFRESH_TOKEN_INVALID: {
    title: "Your session has ended",
    advice: "Sign in again.",
  },
  REFRESH_TOKEN_REUSED: {
    title: "Your session was ended to protect your account",
    advice: "Somebody may have copied it. Sign in again.",
  },
  SESSION_NOT_FOUND: {
    title: "There is no such session",
    advice: "It may have ended already. Reload the page.",
  },
  ACCOUNT_NOT_FOUND: {
    title: "There is no such account",
    advice: "It may have been removed. Reload the page.",
  },
  FIELD_NOT_UPDATABLE: {
    title: "This cannot be changed",
    advice: "Reload the page to see what can.",
  },
  REGISTRATION_CLOSED: {
    title: "Registration is closed here",
    advice: "Ask for an invitation.",
  },
  ORGANISATION_NOT_FOUND: {
    title: "There is no such organisation",
    advice: "You may have left it. Reload the page.",
  },
  MEMBER_NOT_FOUND: {
    title: "There is no such member",
    advice: "They may have left. Reload the page.",
  },
  MEMBER_EXISTS: {
    title: "This person is a member already",
    advice: "Change their roles instead.",
  },
  LAST_ADMIN: {
    title: "Somebody must be able to manage the members",
    advice: "Give another member that role first.",
  },
  ROLE_NOT_FOUND: {
    title: "There is no such role",
    advice: "It may have been removed. Reload the page.",
  },
  ROLE_BUILT_IN: {
    title: "This role is built in",
    advice: "It cannot be changed. Make a role of your own.",
  },
  ROLE_IN_USE: {
    title: "Somebody still has this role",
    advice: "Take it from all members first.",
  },
  PERMISSION_UNKNOWN: {
    title: "There is no such permission",
    advice: "Choose from the list of permissions.",
  },
  PERMISSION_NOT_HELD: {
    title: "You cannot give what you do not have",
    advice: "Ask somebody with that permission.",
  },
  API_KEY_NOT_FOUND: {
    title: "There is no such API key",
    advice: "It may have been removed. Reload the page.",
  },
  EMAIL_UNKNOWN: {
    title: "Nobody has an account with this address",
    advice: "Check the address, or ask the person to register first.",
  },
  EMAIL_INVALID: {
    title: "This is not an e-mail address",
    advice: "Check it for slips.",
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
    title: "Address and password do not belong together",
    advice: "Check both and try again, or ask for a new password.",
  },
  TOO_MANY_ATTEMPTS: {
    title: "There were too many wrong attempts",
    advice: "Wait for the time that is shown, then try again. If you forgot your password, ask for a new one.",
  },
  ACCOUNT_LOCKED: { title: "This account is locked", advice: "Ask whoever runs this platform why." },
  PASSWORD_WEAK: {
    title: "This password is too easy to guess",
    advice: "Take several words that do not belong together, or let a password manager make one.",
  },
  CODE_INVALID: {
    title: "The code is not right, or not good any more",
    advice: "Check it. A code works for a few minutes and a few tries; after that, ask for a new one.",
  },
  REFRESH_TOKEN_INVALID: { title: "You were signed out", advice: "Sign in again to go on." },
  REFRESH_TOKEN_REUSED: {
    title: "You were signed out to be safe",
    advice: "Somebody may have used your session. Sign in again, and change your password if it was not you.",
  },
  SESSION_NOT_FOUND: { title: "This session has already ended", advice: "Reload the list to see those that are open." },
  ACCOUNT_NOT_FOUND: {
    title: "There is no such account",
    advice: "It may belong to another organisation too, which you cannot change it for.",
  },
  FIELD_NOT_UPDATABLE: { title: "This detail cannot be changed", advice: "Reload the page to see what can be." },
  REGISTRATION_CLOSED: {
    title: "Registration is closed here",
    advice: "Ask whoever runs this platform for an invitation.",
  },
  ORGANISATION_NOT_FOUND: {
    title: "There is no such organisation",
    advice: "You may not belong to it any more. Choose another one, or sign in again.",
  },
  MEMBER_NOT_FOUND: {
    title: "This person is not a member",
    advice: "They may have left in the meantime. Reload the list.",
  },
  MEMBER_EXISTS: {
    title: "This person is a member already",
    advice: "Find them in the list of members to change their roles.",
  },
  LAST_ADMIN: {
    title: "Somebody has to stay admin",
    advice: "Make somebody else an admin first, then try again.",
  },
  ROLE_NOT_FOUND: { title: "There is no such role", advice: "It may have been removed. Reload the list of roles." },
  ROLE_BUILT_IN: { title: "This role cannot be changed", advice: "It is built in. Make a role of your own instead." },
  ROLE_IN_USE: { title: "Somebody still has this role", advice: "Take it from its members first, then remove it." },
  PERMISSION_UNKNOWN: {
    title: "There is no such permission",
    advice: "Reload the page and choose from the list of permissions.",
  },
  PERMISSION_NOT_HELD: {
    title: "You cannot give or take what you do not have",
    advice: "Ask somebody who has this permission, such as an admin.",
  },
  API_KEY_NOT_FOUND: {
    title: "There is no such API key",
    advice: "It may have been removed after it ended. Reload the list of keys.",
  },
  EMAIL_UNKNOWN: {
    title: "Nobody has registered with this address",
    advice: "Check the spelling, or ask them to register first.",
  },
  EMAIL_INVALID: { title: "This is not an e-mail address", advice: "Check the spelling and try again." },
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
    advice: "Open the link that you were given, or sign in with an operator key to start playback yourself.",
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

/**
 * The words of a reason. The edge sends the bare name, so names are unique over all tables but the one of accounts, whose refusals always
 * tell their domain.
 */
export function wordsOf(reason: string, domain = ""): Words | undefined {
  const first = WORDS[domain]?.[reason];
  if (first !== undefined) return first;
  for (const table of Object.values(WORDS)) {
    const words = table[reason];
    if (words !== undefined) return words;
  }
  return undefined;
}
