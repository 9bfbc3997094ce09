// Whoever is signed in here: a person, or an operator by API key. Everything that presents a credential asks this one.

import type { Tokens } from "@gen/reelmesh/identity/v1/identity_pb";

import type { Credential } from "../api/authenticated";
import type { Refusal } from "../api/refusal";
import type { OperatorKey } from "./operatorKey";
import type { PersonSession } from "./personSession";

/** Who is signed in. */
export interface SignedInState {
  readonly who: "nobody" | "person" | "key";
  /** Changes when somebody else signs in: what was shown to the one before must go. */
  readonly id: string;
  /** What a person may do. Of a key it is not known. */
  readonly permissions: readonly string[];
  /** Why the one before is not signed in any more; null unless it was not their own wish. */
  readonly refused: Refusal | null;
}

/** Whether a call that needs this permission is worth trying. */
export function may(state: SignedInState, permission: string): boolean {
  if (state.who === "person") return state.permissions.includes(permission) || state.permissions.includes("*");
  return state.who === "key";
}

/** A key that was given in this tab counts before the person who is signed in in all tabs. */
export class SignedIn implements Credential {
  readonly #key: OperatorKey;
  readonly #person: PersonSession;
  readonly #listeners = new Set<() => void>();
  #state: SignedInState;

  constructor(key: OperatorKey, person: PersonSession) {
    this.#key = key;
    this.#person = person;
    this.#state = this.#now();
    key.subscribe(this.#changed);
    person.subscribe(this.#changed);
  }

  readonly state = (): SignedInState => this.#state;

  readonly subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  };

  /** What to present with a call; empty when nobody is signed in. */
  readonly bearer = async (): Promise<string> => {
    const { key } = this.#key.state();
    return key === "" ? await this.#person.access() : key;
  };

  /** Told that a call was refused. Returns whether it may fare better with a fresh credential. */
  readonly refused = (bearer: string, refusal: Refusal): boolean => {
    if (refusal.kind !== "credential" || bearer === "") return false;
    if (bearer === this.#key.state().key) {
      this.#key.refuse(bearer, refusal);
      return false;
    }
    this.#person.refused(bearer);
    return this.#state.who === "person";
  };

  /** An operator gave a key. */
  acceptKey(key: string): void {
    this.#key.accept(key);
  }

  /** A person signed in. */
  signIn(tokens: Tokens): void {
    this.#key.forget();
    this.#person.signIn(tokens);
  }

  /** Signs out whoever it is. */
  async signOut(): Promise<void> {
    if (this.#state.who === "key") this.#key.forget();
    else await this.#person.signOut();
  }

  readonly #changed = (): void => {
    this.#state = this.#now();
    for (const listener of this.#listeners) listener();
  };

  #now(): SignedInState {
    const [key, person] = [this.#key.state(), this.#person.state()];
    if (key.key !== "") return { who: "key", id: key.key, permissions: [], refused: null };
    const { accountId, organisationId, permissions } = person;
    if (accountId !== "") return { who: "person", id: `${accountId} ${organisationId}`, permissions, refused: null };
    return { who: "nobody", id: "", permissions: [], refused: key.refused ?? person.refused };
  }
}
