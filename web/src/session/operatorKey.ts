// An API key, for operators. It lives in this tab only.

import type { Refusal } from "../api/refusal";

const SLOT = "reelmesh.key";

/** What is known of the key: the key itself, and why the last one was not accepted. */
export interface OperatorKeyState {
  readonly key: string;
  readonly refused: Refusal | null;
}

/** Keeps the key in session storage and tells who listens when it changes. */
export class OperatorKey {
  #state: OperatorKeyState;
  readonly #storage: Storage;
  readonly #listeners = new Set<() => void>();

  constructor(storage: Storage) {
    this.#storage = storage;
    this.#state = { key: storage.getItem(SLOT) ?? "", refused: null };
  }

  readonly state = (): OperatorKeyState => this.#state;

  readonly subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  };

  /** Takes a new key. */
  accept(key: string): void {
    this.#storage.setItem(SLOT, key.trim());
    this.#become({ key: key.trim(), refused: null });
  }

  /** Forgets a key that a server did not accept, and remembers why. A newer key stays. */
  refuse(key: string, refused: Refusal): void {
    if (key !== this.#state.key) return;
    this.#storage.removeItem(SLOT);
    this.#become({ key: "", refused });
  }

  /** Forgets the key. */
  forget(): void {
    this.#storage.removeItem(SLOT);
    this.#become({ key: "", refused: null });
  }

  #become(state: OperatorKeyState): void {
    this.#state = state;
    for (const listener of this.#listeners) listener();
  }
}
