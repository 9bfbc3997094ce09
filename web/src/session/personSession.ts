// The session of a person in this browser. All tabs share one: the refresh token is kept in local storage, the access token of each tab in
// its memory only.
//
// A refresh token works once, and its second use ends the session. So tabs exchange it one at a time, under a lock that the browser keeps,
// and each token goes with the id of the one request that exchanges it: whoever sends it again, because an answer was lost, sends the same.
// What another tab wrote can come a moment later than the lock that it held, where the browser has the two in different processes.

import { timestampDate } from "@bufbuild/protobuf/wkt";
import type { Tokens } from "@gen/reelmesh/identity/v1/identity_pb";

import { backoff } from "../api/backoff";
import { refusalOfCall, type Refusal } from "../api/refusal";

/** Where the session is kept. */
export const SLOT = "reelmesh.session";

const SPARE_MS = 30_000;
const AHEAD_MS = 120_000;
const MOST_TRIES = 4;
const LATE_MS = 250;
// Used where an access token does not tell how long it lives.
const SHORT_LIFE_MS = 300_000;

interface Kept {
  readonly refreshToken: string;
  /** Id of the request that exchanges this token. */
  readonly requestId: string;
  readonly sessionId: string;
  readonly accountId: string;
  readonly organisationId: string;
  readonly permissions: readonly string[];
  /** Milliseconds since 1970, by the server's clock: of two tokens of a session the later one is good. */
  readonly refreshExpires?: number;
}

/** Who is signed in. */
export interface PersonState {
  /** Empty when nobody is. */
  readonly accountId: string;
  readonly sessionId: string;
  readonly organisationId: string;
  readonly permissions: readonly string[];
  /** Why the session ended; null unless it ended by itself. */
  readonly refused: Refusal | null;
}

/** What the session works with. */
export interface SessionParts {
  readonly storage: Storage;
  /** Runs work while no other tab does. */
  readonly alone: <T>(work: () => Promise<T>) => Promise<T>;
  /** Exchanges a refresh token. */
  readonly exchange: (refreshToken: string, requestId: string) => Promise<Tokens>;
  /** Ends the session of a refresh token on the server. */
  readonly end: (refreshToken: string) => Promise<void>;
  readonly freshId: () => string;
  /** The present moment, in milliseconds. */
  readonly now: () => number;
  readonly wait: (milliseconds: number) => Promise<void>;
}

interface Access {
  readonly token: string;
  readonly sessionId: string;
  /** By this browser's clock, which may be wrong. */
  readonly expires: number;
}

const NOBODY = { accountId: "", sessionId: "", organisationId: "", permissions: [] } as const;

/** Keeps a person signed in. */
export class PersonSession {
  readonly #parts: SessionParts;
  readonly #listeners = new Set<() => void>();
  #state: PersonState = { ...NOBODY, refused: null };
  #access: Access | null = null;
  #refreshing: Promise<string> | undefined;

  constructor(parts: SessionParts) {
    this.#parts = parts;
    this.#become(this.#read(), null);
  }

  readonly state = (): PersonState => this.#state;

  readonly subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  };

  /** Takes the tokens of a new session. */
  signIn(tokens: Tokens): void {
    this.#take(tokens);
  }

  /** Another tab signed in or out. */
  noticed(): void {
    const kept = this.#read();
    if (kept?.sessionId !== this.#access?.sessionId) this.#access = null;
    this.#become(kept, null);
  }

  /** An access token that is good for a while; empty when nobody is signed in. Throws what the exchange throws. */
  async access(): Promise<string> {
    const kept = this.#read();
    if (kept === null) {
      if (this.#state.accountId !== "") this.noticed();
      return "";
    }
    const known = this.#access;
    if (known?.sessionId === kept.sessionId && known.expires - this.#parts.now() > SPARE_MS) return known.token;
    this.#refreshing ??= this.#parts
      .alone(() => this.#refreshed())
      .finally(() => {
        this.#refreshing = undefined;
      });
    return await this.#refreshing;
  }

  /** Forgets an access token that was refused, unless there is a newer one already. */
  refused(token: string): void {
    if (this.#access?.token === token) this.#access = null;
  }

  /** Gets the next access token a while before this tab's runs out, so that nobody waits for it. */
  async refreshAhead(): Promise<void> {
    if (this.#access === null || this.#access.expires - this.#parts.now() > AHEAD_MS) return;
    this.#access = null;
    await this.access();
  }

  /** Ends the session, in all tabs at once. The server may hear of it later. */
  async signOut(): Promise<void> {
    const kept = this.#read();
    this.#forget(null);
    if (kept === null) return;
    for (let attempt = 0; attempt < MOST_TRIES; attempt += 1) {
      try {
        // A token that another tab is exchanging right now will do: it need not be the newest.
        await this.#parts.end(kept.refreshToken);
        return;
      } catch (error) {
        if (refusalOfCall(error).kind !== "transient") return;
        await this.#parts.wait(backoff(attempt));
      }
    }
  }

  async #refreshed(): Promise<string> {
    for (let attempt = 1; ; attempt += 1) {
      const kept = this.#read();
      if (kept === null) {
        this.noticed();
        return "";
      }
      try {
        const tokens = await this.#parts.exchange(kept.refreshToken, kept.requestId);
        // Somebody may have signed out, or in as another person, meanwhile. Within the same session another tab got a token for the one that
        // we repeated, or that repeated ours: the earlier of the two has ended with that.
        const now = this.#read();
        if (now?.refreshToken !== kept.refreshToken && now?.sessionId !== tokens.sessionId) continue;
        return (now.refreshExpires ?? 0) > expiresOf(tokens) ? this.#takeAccess(tokens) : this.#take(tokens);
      } catch (error) {
        const refusal = refusalOfCall(error);
        if (refusal.kind === "transient" && attempt < MOST_TRIES) {
          await this.#parts.wait(backoff(attempt - 1));
          continue;
        }
        const over = refusal.reason === "REFRESH_TOKEN_INVALID" || refusal.reason === "REFRESH_TOKEN_REUSED";
        if (over) {
          // A token that was used by somebody else has ended its session; one that is not known may have been replaced by another tab.
          const ended = refusal.reason === "REFRESH_TOKEN_REUSED";
          if (!ended) await this.#parts.wait(LATE_MS);
          const now = this.#read();
          if (now?.refreshToken === kept.refreshToken || (ended && now?.sessionId === kept.sessionId))
            this.#forget(refusal);
          else if (attempt < MOST_TRIES) continue;
        }
        throw error;
      }
    }
  }

  #take(tokens: Tokens): string {
    const { refreshToken, sessionId, accountId, organisationId, permissions } = tokens;
    const requestId = this.#parts.freshId();
    const refreshExpires = expiresOf(tokens);
    const kept: Kept = { refreshToken, requestId, sessionId, accountId, organisationId, permissions, refreshExpires };
    this.#parts.storage.setItem(SLOT, JSON.stringify(kept));
    const token = this.#takeAccess(tokens);
    this.#become(kept, null);
    return token;
  }

  #takeAccess(tokens: Tokens): string {
    const { accessToken, sessionId } = tokens;
    const life = lifetimeOf(accessToken) ?? this.#told(tokens);
    this.#access = { token: accessToken, sessionId, expires: this.#parts.now() + life };
    return accessToken;
  }

  #told({ accessExpireTime }: Tokens): number {
    const told = accessExpireTime === undefined ? 0 : timestampDate(accessExpireTime).getTime() - this.#parts.now();
    return Math.max(told, SHORT_LIFE_MS);
  }

  #forget(refused: Refusal | null): void {
    this.#parts.storage.removeItem(SLOT);
    this.#access = null;
    this.#become(null, refused);
  }

  #read(): Kept | null {
    try {
      const kept: unknown = JSON.parse(this.#parts.storage.getItem(SLOT) ?? "null");
      return isKept(kept) ? kept : null;
    } catch {
      return null;
    }
  }

  #become(kept: Kept | null, refused: Refusal | null): void {
    const { accountId, sessionId, organisationId, permissions } = kept ?? NOBODY;
    const next: PersonState = { accountId, sessionId, organisationId, permissions, refused };
    if (JSON.stringify(next) === JSON.stringify(this.#state)) return;
    this.#state = next;
    for (const listener of this.#listeners) listener();
  }
}

function expiresOf({ refreshExpireTime }: Tokens): number {
  return refreshExpireTime === undefined ? 0 : timestampDate(refreshExpireTime).getTime();
}

function isKept(value: unknown): value is Kept {
  if (typeof value !== "object" || value === null) return false;
  const { refreshToken, requestId, sessionId, accountId, organisationId, permissions } = value as Record<
    string,
    unknown
  >;
  return (
    [refreshToken, requestId, sessionId, accountId, organisationId].every((text) => typeof text === "string") &&
    Array.isArray(permissions)
  );
}

/** Milliseconds that an access token (RFC 9068) lives from its issue; undefined when it does not tell. The clocks need not agree. */
export function lifetimeOf(token: string): number | undefined {
  try {
    const payload = (token.split(".")[1] ?? "").replaceAll("-", "+").replaceAll("_", "/");
    const { exp, iat } = JSON.parse(atob(payload)) as { exp?: unknown; iat?: unknown };
    return typeof exp === "number" && typeof iat === "number" && exp > iat ? (exp - iat) * 1000 : undefined;
  } catch {
    return undefined;
  }
}
