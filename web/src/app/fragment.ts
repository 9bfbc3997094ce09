// Secrets come in the fragment of an address (`#code=…`, `#key=…`), which browsers do not send to servers. They are taken out
// of the address bar before anything else happens, and are never logged. What is no secret (`#next=…`) stays there.

/** What a fragment can bring. */
export interface Fragment {
  /** One-time playback code; empty when none came. */
  readonly code: string;
  /** Operator API key; empty when none came. */
  readonly key: string;
  /** Where to go after signing in, as it came; empty when nothing did. */
  readonly next: string;
}

/** Reads a fragment such as `#code=abc&key=rmk_x`. Anything else in it is left alone. */
export function readFragment(hash: string): Fragment {
  const fields = new URLSearchParams(hash.replace(/^#/, ""));
  return { code: fields.get("code") ?? "", key: fields.get("key") ?? "", next: fields.get("next") ?? "" };
}

/** Reads the fragment of the address bar and removes it when it held a secret. */
export function takeFragment(location: Location, history: History): Fragment {
  const fragment = readFragment(location.hash);
  if (fragment.code !== "" || fragment.key !== "") {
    history.replaceState(history.state, "", location.pathname + location.search);
  }
  return fragment;
}
