import { createClient } from "@connectrpc/connect";
import { AccountsService } from "@gen/reelmesh/identity/v1/accounts_service_pb";
import { useSyncExternalStore } from "react";

import { pause } from "../api/backoff";
import { freshId } from "../api/correlation";
import { open } from "../api/transport";
import { OperatorKey } from "./operatorKey";
import { PersonSession, SLOT } from "./personSession";
import { SignedIn, type SignedInState } from "./signedIn";

const LOOK_MS = 30_000;

const accounts = createClient(AccountsService, open);

/** One tab at a time. Browsers have locks on secure origins only; elsewhere tabs may get in each other's way. */
async function alone<T>(work: () => Promise<T>): Promise<T> {
  if (!("locks" in navigator)) return await work();
  return await navigator.locks.request(SLOT, work);
}

const person = new PersonSession({
  storage: window.localStorage,
  alone,
  exchange: async (refreshToken, requestId) => {
    const { tokens } = await accounts.refreshSession({ refreshToken, requestId });
    if (tokens === undefined) throw new Error("the answer holds no tokens");
    return tokens;
  },
  end: async (refreshToken) => {
    await accounts.logOut({ refreshToken });
  },
  freshId,
  now: () => Date.now(),
  wait: (milliseconds) => pause(milliseconds),
});

/** Whoever is signed in here. */
export const credential = new SignedIn(new OperatorKey(window.sessionStorage), person);

window.addEventListener("storage", (event) => {
  if (event.storageArea === window.localStorage && (event.key === SLOT || event.key === null)) person.noticed();
});
window.setInterval(() => {
  if (document.visibilityState === "visible") void person.refreshAhead().catch(() => undefined);
}, LOOK_MS);

/** Who is signed in, for components. */
export function useSignedIn(): SignedInState {
  return useSyncExternalStore(credential.subscribe, credential.state);
}
