// Where to go after signing in: told in the fragment of the address, `#next=<encoded path>`. It comes from anywhere, so it must not lead
// away from this site.

const NOWHERE = "/";
const ORIGIN = "http://this.site";

// What may stand in a fragment that people are led back with: which app or device asks. None of it gives anybody access.
const KEPT = ["request", "silent", "user_code"];

/** The path if it is an absolute path of this site; the library otherwise. Of a fragment only what is no secret stays. */
export function safeNext(text: string): string {
  // `//host`, `/\host` and what has controls in it, which browsers take out, may name another host.
  if (!/^\/(?![/\\])/.test(text) || /[\\\p{Cc}]/u.test(text)) return NOWHERE;
  let url: URL;
  try {
    url = new URL(text, ORIGIN);
  } catch {
    return NOWHERE;
  }
  if (url.origin !== ORIGIN || url.pathname.startsWith("//")) return NOWHERE;
  const kept = [...new URLSearchParams(url.hash.slice(1))].filter(([name]) => KEPT.includes(name));
  return url.pathname + url.search + (kept.length === 0 ? "" : `#${new URLSearchParams(kept).toString()}`);
}

/** The address of a page that leads on to another one. */
export function withNext(path: string, next: string): string {
  return next === "" || next === NOWHERE ? path : `${path}#next=${encodeURIComponent(next)}`;
}
