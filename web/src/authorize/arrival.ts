// How people come to the pages that let apps in, and how they are led through sign-in first.

import { useSyncExternalStore } from "react";

import { navigate } from "../app/navigation";
import { credential } from "../session/current";

function subscribe(listener: () => void): () => void {
  window.addEventListener("hashchange", listener);
  return () => {
    window.removeEventListener("hashchange", listener);
  };
}

/** A field of the address's fragment, which no server is sent. Empty when it is not there. */
export function useFragment(name: string): string {
  const hash = useSyncExternalStore(subscribe, () => window.location.hash);
  return fragmentField(hash, name);
}

/** A field of a fragment such as `#request=aut_x&silent=1`. */
export function fragmentField(hash: string, name: string): string {
  return new URLSearchParams(hash.replace(/^#/, "")).get(name) ?? "";
}

/** Where to sign in to come back to an address of this application. */
export function signInPath(back: string): string {
  return `/sign-in#next=${encodeURIComponent(back)}`;
}

/** Leads through sign-in and back to this very page. Whoever is signed in is not any more. */
export function signInFirst(): void {
  const back = window.location.pathname + window.location.hash;
  credential.forget();
  navigate(signInPath(back), { replace: true });
}
