// The account of whoever is signed in, as far as it is known.

import type { Account } from "@gen/reelmesh/identity/v1/identity_pb";
import { useSyncExternalStore } from "react";

import { account as client } from "../api/clients";
import { credential } from "./current";

let known: Account | null = null;
let asking = "";
const listeners = new Set<() => void>();

/** Takes what a call told of the account. */
export function learn(account: Account | undefined): void {
  known = account ?? null;
  for (const listener of listeners) listener();
}

/** Asks for the account when somebody signs in, and forgets it when they are gone. */
async function follow(): Promise<void> {
  const { who, id } = credential.state();
  const wanted = who === "person" ? id : "";
  if (wanted === asking) return;
  asking = wanted;
  learn(undefined);
  if (wanted === "") return;
  try {
    const { account } = await client.getAccount({});
    if (asking === wanted) learn(account);
  } catch {
    asking = ""; // asked for again with the next change; pages that need it ask by themselves
  }
}

credential.subscribe(() => void follow());
void Promise.resolve().then(follow);

function subscribe(listener: () => void): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

/** The account; null while nobody is signed in, or it is not known yet. */
export function useAccount(): Account | null {
  return useSyncExternalStore(subscribe, () => known);
}

/** What to call a person. */
export function nameOf(account: Account): string {
  return account.displayName === "" ? (account.email.split("@")[0] ?? account.email) : account.displayName;
}
