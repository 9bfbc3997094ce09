// What a scope means to the person who is asked.

const WORDS: Readonly<Record<string, string>> = {
  openid: "Know that it is you",
  profile: "See your name and language",
  email: "See your e-mail address",
  offline_access: "Stay signed in when you are away",
  "playback.create": "Play videos as you",
  "playback.read": "See who plays what",
  "playback.revoke": "End playback of others",
  "assets.read": "See your organisation's videos",
  "assets.write": "Change and delete your organisation's videos",
  "uploads.read": "See uploads",
  "uploads.write": "Upload videos",
  "accounts.read": "See the accounts of members",
  "accounts.manage": "Lock and change the accounts of members",
};

/** What an app may do with a scope, beginning with a verb. One without words keeps its name. */
export function scopeWords(scope: string): string {
  return WORDS[scope] ?? `Use the permission “${scope}”`;
}
