import { useSyncExternalStore } from "react";

import { Credential, type CredentialState } from "./credential";

/** The credential of this tab. */
export const credential = new Credential(window.sessionStorage);

/** The credential's state, for components. */
export function useCredential(): CredentialState {
  return useSyncExternalStore(credential.subscribe, credential.state);
}
