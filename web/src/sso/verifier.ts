// The secret with which a sign-in at an outside provider can be ended by the tab that began it, and by nobody else.

const SLOT = "reelmesh.sso";

/** What is kept in this tab while the person is at the provider. */
export interface Begun {
  readonly verifier: string;
  /** Address of this application to go to afterwards. */
  readonly next: string;
}

function base64url(bytes: Uint8Array): string {
  return btoa(String.fromCharCode(...bytes))
    .replaceAll("+", "-")
    .replaceAll("/", "_")
    .replace(/=+$/, "");
}

/** The challenge of a verifier (RFC 7636 §4.2). */
export async function challengeOf(verifier: string): Promise<string> {
  return base64url(new Uint8Array(await crypto.subtle.digest("SHA-256", new TextEncoder().encode(verifier))));
}

/** An address of this application, and of no other. */
export function ownAddress(next: string): string {
  return /^\/(?![/\\])/.test(next) ? next : "/";
}

/** Keeps a new verifier in this tab and returns the address at which the provider's sign-in begins. */
export async function begin(storage: Storage, providerId: string, next = "/", linkCode = ""): Promise<string> {
  const verifier = base64url(crypto.getRandomValues(new Uint8Array(32)));
  storage.setItem(SLOT, JSON.stringify({ verifier, next: ownAddress(next) } satisfies Begun));
  const challenge = await challengeOf(verifier);
  const link = linkCode === "" ? "" : `&link=${encodeURIComponent(linkCode)}`;
  return `/sso/${providerId}/start?challenge=${challenge}${link}`;
}

/** What was kept, once. Null when this tab began nothing. */
export function take(storage: Storage): Begun | null {
  const kept = storage.getItem(SLOT);
  storage.removeItem(SLOT);
  return kept === null ? null : (JSON.parse(kept) as Begun);
}
