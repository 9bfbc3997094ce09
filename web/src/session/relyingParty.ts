// Passkeys are bound to a host, the relying party's id (WebAuthn Level 3 §5.1.3): they work on its pages and on those below it.

/** Whether passkeys bound to a site work on a page of this host. */
export function belongsTo(host: string, rpId: string): boolean {
  return rpId !== "" && (host === rpId || host.endsWith(`.${rpId}`));
}

/** The same page by the name that passkeys are bound to. */
export function sameAt(rpId: string, location: { protocol: string; port: string; pathname: string }): string {
  const port = location.port === "" ? "" : `:${location.port}`;
  return `${location.protocol}//${rpId}${port}${location.pathname}`;
}
