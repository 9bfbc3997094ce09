// What refusals about apps, devices and outside providers mean to a person.

import type { ErrorReason } from "@gen/reelmesh/identity/v1/identity_pb";

import type { Words } from "./words";

type OAuthReason = Extract<
  keyof typeof ErrorReason,
  `OAUTH_${string}` | `SSO_${string}` | `GRANT_${string}` | `SCOPE_${string}` | `AUTHORIZATION_${string}`
>;

const AGAIN = "Begin again on the sign-in page.";

export const oauthWords: Readonly<
  Record<OAuthReason | "LOGOUT_INVALID" | "SIGN_IN_TOO_OLD" | "USER_CODE_INVALID", Words>
> = {
  OAUTH_CLIENT_NOT_FOUND: {
    title: "This app is not known here",
    advice: "It may have been removed. Ask whoever runs it.",
  },
  OAUTH_CLIENT_BUILT_IN: {
    title: "This app is a part of Reelmesh",
    advice: "It cannot be changed. Register an app of your own.",
  },
  OAUTH_CLIENT_INVALID: {
    title: "These settings of the app do not fit together",
    advice: "Check its redirect addresses, and how it gets tokens.",
  },
  SCOPE_INVALID: {
    title: "The app asks for more than it may have",
    advice: "Tell its maker, or ask your administrator to allow it.",
  },
  AUTHORIZATION_NOT_FOUND: {
    title: "This request is not open any more",
    advice: "It was answered, or it took too long. Go back to the app and begin again.",
  },
  SIGN_IN_TOO_OLD: {
    title: "The app wants you to sign in once more",
    advice: "Sign in again, then let the app in.",
  },
  OAUTH_CLIENT_FOREIGN: {
    title: "This app is for another organisation",
    advice: "Only members of the organisation that registered it can let it in.",
  },
  USER_CODE_INVALID: {
    title: "No device shows this code now",
    advice: "Check the code. If it is older than ten minutes, let the device show a new one.",
  },
  GRANT_INVALID: {
    title: "The app's permission is not good any more",
    advice: "Go back to the app and sign in again.",
  },
  GRANT_PENDING: {
    title: "The device is still waiting",
    advice: "Type the code that it shows.",
  },
  GRANT_POLLED_TOO_OFTEN: {
    title: "The device asks too often",
    advice: "It will go on by itself in a moment.",
  },
  GRANT_EXPIRED: {
    title: "The device's code has expired",
    advice: "Let the device show a new one.",
  },
  GRANT_REFUSED: {
    title: "The device was not let in",
    advice: "Begin again on the device if that was a mistake.",
  },
  LOGOUT_INVALID: {
    title: "The app's request to sign you out is not good any more",
    advice: "You can sign out here yourself, or begin again in the app.",
  },
  SSO_PROVIDER_NOT_FOUND: {
    title: "This way to sign in is not there any more",
    advice: "Choose another one on the sign-in page.",
  },
  SSO_PROVIDER_INVALID: {
    title: "These settings of the provider are not possible",
    advice: "Check the issuer's address and the domains.",
  },
  SSO_EMAIL_UNVERIFIED: {
    title: "Your provider does not vouch for your e-mail address",
    advice: "Verify the address there, and make sure that it belongs to your organisation. Then try again.",
  },
  SSO_ACCOUNT_UNLINKED: {
    title: "Your account is not linked with this provider",
    advice: "Sign in the way you always do, then link the provider in your account.",
  },
  SSO_ACCOUNT_UNKNOWN: {
    title: "You have no account here yet",
    advice: "Ask whoever runs this platform for an invitation.",
  },
  SSO_FAILED: { title: "The sign-in did not come to its end", advice: AGAIN },
};
