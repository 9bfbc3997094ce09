// What refusals about accounts, sessions, codes, profiles, devices, organisations and keys mean.

import type { ErrorReason as IdentityReason } from "@gen/reelmesh/identity/v1/identity_pb";

import { oauthWords } from "./oauthWords";
import type { Words } from "./words";

/** Reasons of `identity.reelmesh`. */
export const identity: Readonly<Record<Exclude<keyof typeof IdentityReason, "UNSPECIFIED">, Words>> = {
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
  SENT_TOO_OFTEN: {
    title: "Codes were sent too often",
    advice: "Look for the last one, in the spam folder too. If it did not come, wait a little and ask for another.",
  },
  PHONE_INVALID: {
    title: "No SMS can be sent to this number",
    advice: "Enter the number of a mobile phone with “+” and the country's code, such as +49 151 23456789.",
  },
  PHONE_TAKEN: {
    title: "Another account has this number",
    advice: "Sign in to that account and remove the number there first.",
  },
  PROFILE_NOT_FOUND: { title: "There is no such profile", advice: "It may have been deleted. Choose another one." },
  PROFILE_LIMIT_REACHED: { title: "There are five profiles already", advice: "Delete one to make another." },
  PIN_REQUIRED: { title: "This needs a PIN", advice: "Enter the PIN of the profile, or ask a grown-up to." },
  PIN_INVALID: {
    title: "The PIN is wrong",
    advice: "Try again. If you forgot it, set a new one with the password of the account.",
  },
  RATING_TOO_HIGH: {
    title: "A child's profile cannot be rated so high",
    advice: "Choose a rating up to 12, or make it a grown-up's profile.",
  },
  DEVICE_LIMIT_REACHED: {
    title: "You have as many devices as you may have",
    advice: "Remove one that you no longer use, or choose a plan with more.",
  },
  DEVICE_NOT_FOUND: { title: "There is no such device", advice: "It may have been removed. Reload the list." },
  SESSION_BOUND: {
    title: "You are signed in on another device with this session",
    advice: "Sign out and sign in again on this device.",
  },
  ...oauthWords,
};
