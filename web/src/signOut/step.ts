// What the page does that apps send people to when they signed them out.

import type { SignedInState } from "../session/signedIn";

/** What an app asks, as far as it matters here. */
export interface AskedToLeave {
  /** Where to go once nobody is signed in; empty for nowhere. */
  readonly redirectUri: string;
}

/** `wait` until it is known what is asked; `ask` the person; `leave` for the app; or tell that they are `out`. */
export type Step = "wait" | "ask" | "leave" | "out";

/** What to do next. Nobody is asked who is not signed in any more. */
export function stepOf(asked: AskedToLeave | null, who: SignedInState["who"]): Step {
  if (asked === null) return "wait";
  if (who !== "nobody") return "ask";
  return asked.redirectUri === "" ? "out" : "leave";
}
