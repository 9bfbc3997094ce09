// What the refusals about one-time codes, phones, profiles and devices mean, and those of messages to people.

import type { ErrorReason as NotificationsReason } from "@gen/reelmesh/notifications/v1/notifications_pb";

import type { Words } from "./words";

/** A part of the reasons of `identity.reelmesh`. */
export const people = {
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
} as const satisfies Readonly<Record<string, Words>>;

const SEND_AGAIN = "Ask for the message again. If it does not come, tell whoever runs this platform.";

/** Reasons of `notifications.reelmesh`. They stay among the services, and are told here should one get out. */
export const notifications: Readonly<Record<Exclude<keyof typeof NotificationsReason, "UNSPECIFIED">, Words>> = {
  TEMPLATE_UNKNOWN: { title: "The message could not be written", advice: "Tell whoever runs this platform." },
  PARAMETER_INVALID: { title: "The message could not be filled in", advice: "Tell whoever runs this platform." },
  ADDRESS_INVALID: { title: "Nobody can be written to there", advice: "Check the address or number." },
  ADDRESS_REFUSED: { title: "The message could not be delivered", advice: "Use another address or number." },
  PROVIDER_REFUSED: { title: "No messages can be sent at the moment", advice: "Tell whoever runs this platform." },
  PROVIDER_UNAVAILABLE: { title: "Messages are delayed", advice: "Wait a few minutes. It is sent by itself." },
  OUTCOME_UNKNOWN: { title: "The message may not have been sent", advice: SEND_AGAIN },
  DELIVERY_UNDER_WAY: { title: "The message is being sent", advice: "Wait a moment." },
};
