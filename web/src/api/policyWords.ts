// What refusals of playback, of its rules and of its credentials mean.

import type { ErrorReason as PolicyReason } from "@gen/reelmesh/policy/v1/policy_pb";

import type { Words } from "./words";

const NEW_LINK = "Ask for a new link, or start playback again if you are the operator.";

/** Reasons of `policy.reelmesh`. */
export const policy: Readonly<Record<Exclude<keyof typeof PolicyReason, "UNSPECIFIED">, Words>> = {
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
  ENTITLEMENT_USED_UP: {
    title: "You have watched this as often as you may",
    advice: "Buy or rent it again to watch it once more.",
  },
  RENTAL_OVER: { title: "Your rental is over", advice: "Rent it again, or buy it, to go on watching." },
  TITLE_TAKEN_DOWN: {
    title: "This was taken down after a notice",
    advice: "Whoever published it can answer the notice. Until that is decided it cannot be watched.",
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
    advice: "Stop one of them. This one goes on by itself within half a minute.",
  },
  RISK_TOO_HIGH: {
    title: "Playback was stopped because of unusual activity",
    advice: "If that was you, ask whoever runs this platform to let you in again.",
  },
  STEP_UP_REQUIRED: {
    title: "Sign in again to go on watching",
    advice: "There was unusual activity on your account. Sign in once more, then start again.",
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
  DEVICE_NOT_SELF: {
    title: "You can watch on this device only",
    advice: "Start the playback without naming a device. To watch on another one, sign in there.",
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
  WATERMARK_KEY_NOT_FOUND: {
    title: "There is no such key for watermark tokens",
    advice: "Ask the operator which keys outside CDNs have.",
  },
  PACKAGE_UNMARKED: {
    title: "The video has no watermark",
    advice: "Upload it anew with watermarking, if its copies have to be told apart.",
  },
  CDN_NOT_FOUND: { title: "There is no such CDN", advice: "Ask the operator which CDNs are set up." },
};
