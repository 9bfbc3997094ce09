// What refusals of passkeys mean.

/** Reasons of `identity.reelmesh` that passkeys are refused with. */
export const passkeyWords = {
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
} as const;
