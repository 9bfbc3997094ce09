import { create } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import { ErrorInfoSchema } from "@gen/google/rpc/error_details_pb";
import { TokensSchema, type Tokens } from "@gen/reelmesh/identity/v1/identity_pb";
import { expect, test } from "vitest";

import { MemoryStorage } from "../testing/memory";
import { lifetimeOf, PersonSession, SLOT, type SessionParts } from "./personSession";

const LIFE = 900;

function accessToken(number: number): string {
  const payload = btoa(JSON.stringify({ iat: 1_000_000, exp: 1_000_000 + LIFE, number }));
  return `header.${payload}.signature`;
}

function refusedWith(reason: string, code = Code.Unauthenticated): ConnectError {
  const info = { desc: ErrorInfoSchema, value: create(ErrorInfoSchema, { reason, domain: "identity.reelmesh" }) };
  return new ConnectError("no", code, undefined, [info]);
}

/** The identity service as far as sessions go: a refresh token works once, except for the request that used it. */
class Server {
  readonly asked: (readonly [string, string])[] = [];
  readonly ended: string[] = [];
  /** Answers that get lost on their way, or errors that come instead of them. */
  readonly trouble: ("lost" | ConnectError)[] = [];
  /** What happens while a call is on its way. */
  meanwhile: () => void = () => undefined;
  #number = 0;
  #session = 0;
  #current = "";
  #used: { token: string; requestId: string } | null = null;

  signIn(accountId = "usr_1"): Tokens {
    this.#session += 1;
    this.#used = null;
    return this.#tokens(accountId);
  }

  /** The newest token is taken back for another one, as when the request that led to it is repeated. */
  replace(): void {
    this.#tokens("usr_1");
  }

  async exchange(token: string, requestId: string): Promise<Tokens> {
    this.asked.push([token, requestId]);
    await Promise.resolve();
    this.meanwhile();
    const trouble = this.trouble.shift();
    if (trouble instanceof ConnectError) throw trouble;
    const repeats = this.#used?.token === token && this.#used.requestId === requestId;
    if (token !== this.#current && !repeats) {
      throw refusedWith(this.#used?.token === token ? "REFRESH_TOKEN_REUSED" : "REFRESH_TOKEN_INVALID");
    }
    this.#used = { token, requestId };
    const tokens = this.#tokens("usr_1");
    if (trouble === "lost") throw new ConnectError("gone", Code.Unavailable);
    return tokens;
  }

  #tokens(accountId: string): Tokens {
    this.#number += 1;
    this.#current = `rmr_${this.#number}`;
    return create(TokensSchema, {
      accessToken: accessToken(this.#number),
      refreshToken: this.#current,
      sessionId: `ses_${this.#session}`,
      accountId,
      organisationId: "org_1",
      permissions: ["playback.create"],
    });
  }
}

/** A browser: tabs that share a storage and a lock, and hear of each other's changes. */
class Browser {
  readonly storage = new MemoryStorage();
  readonly server = new Server();
  readonly tabs: PersonSession[] = [];
  readonly waits: number[] = [];
  /** What happens while a tab waits. */
  meanwhile: () => void = () => undefined;
  now = 0;
  #ids = 0;
  #queue: Promise<unknown> = Promise.resolve();

  /** A tab; one in a process of its own sees a storage that may be behind. */
  tab(storage = this.storage): PersonSession {
    const parts: SessionParts = {
      storage,
      alone: <T>(work: () => Promise<T>): Promise<T> => {
        const done = this.#queue.then(work);
        this.#queue = done.catch(() => undefined);
        return done;
      },
      exchange: (token, requestId) => this.server.exchange(token, requestId),
      end: (token) => {
        this.server.ended.push(token);
        return Promise.resolve();
      },
      freshId: () => `request-${(this.#ids += 1)}`,
      now: () => this.now,
      wait: (milliseconds) => {
        this.waits.push(milliseconds);
        this.meanwhile();
        return Promise.resolve();
      },
    };
    const tab = new PersonSession(parts);
    this.tabs.push(tab);
    return tab;
  }

  /** As the browser does after a change by one tab. */
  tell(by: PersonSession): void {
    for (const tab of this.tabs) if (tab !== by) tab.noticed();
  }
}

function signedIn(): { browser: Browser; tab: PersonSession } {
  const browser = new Browser();
  const tab = browser.tab();
  tab.signIn(browser.server.signIn());
  return { browser, tab };
}

test("the access token is used as long as it is good, and a new one is fetched before it is not", async () => {
  const { browser, tab } = signedIn();
  expect(await tab.access()).toBe(accessToken(1));
  browser.now = (LIFE - 31) * 1000;
  expect(await tab.access()).toBe(accessToken(1));
  browser.now = (LIFE - 29) * 1000;
  expect(await tab.access()).toBe(accessToken(2));
  expect(browser.server.asked).toEqual([["rmr_1", "request-1"]]);
});

test("a token that is nearly over is exchanged ahead of time, and others are left alone", async () => {
  const { browser, tab } = signedIn();
  await tab.refreshAhead();
  expect(browser.server.asked).toHaveLength(0);
  browser.now = (LIFE - 100) * 1000;
  await tab.refreshAhead();
  expect(browser.server.asked).toHaveLength(1);
});

/** Two tabs in different processes, the second of which has not heard yet what the first has written. */
async function behind(): Promise<{
  browser: Browser;
  first: PersonSession;
  second: PersonSession;
  arrive: () => void;
}> {
  const { browser } = signedIn();
  const late = new MemoryStorage();
  const arrive = (): void => {
    late.setItem(SLOT, browser.storage.getItem(SLOT) ?? "");
  };
  arrive();
  const first = browser.tab();
  const second = browser.tab(late);
  expect(await first.access()).toBe(accessToken(2));
  return { browser, first, second, arrive };
}

test("a tab that shows what another one has just exchanged stays signed in", async () => {
  const { browser, second, arrive } = await behind();
  browser.server.meanwhile = arrive;
  expect(await second.access()).toBe(accessToken(3));
  expect(second.state().accountId).toBe("usr_1");
  expect(browser.server.asked).toEqual([
    ["rmr_1", "request-1"],
    ["rmr_1", "request-1"],
  ]);
});

test("a token that another tab has replaced is looked for a moment later, before anybody is signed out", async () => {
  const { browser, second, arrive } = await behind();
  browser.server.replace();
  const newest = browser.storage.getItem(SLOT) ?? "";
  arrive();
  browser.storage.setItem(SLOT, newest.replace("rmr_2", "rmr_3"));
  browser.meanwhile = arrive;
  expect(await second.access()).toBe(accessToken(4));
  expect(second.state()).toMatchObject({ accountId: "usr_1", refused: null });
});

test("a reload keeps the person signed in, though the access token lived in memory only", async () => {
  const { browser } = signedIn();
  expect(browser.storage.getItem(SLOT)).not.toContain("header.");
  const reloaded = browser.tab();
  expect(reloaded.state()).toMatchObject({ accountId: "usr_1", permissions: ["playback.create"] });
  expect(await reloaded.access()).toBe(accessToken(2));
});

test("many calls at once are one exchange", async () => {
  const { browser } = signedIn();
  const reloaded = browser.tab();
  const all = await Promise.all([reloaded.access(), reloaded.access(), reloaded.access()]);
  expect(new Set(all).size).toBe(1);
  expect(browser.server.asked).toHaveLength(1);
});

test("two tabs never use one refresh token twice", async () => {
  const { browser } = signedIn();
  const tabs = [browser.tab(), browser.tab(), browser.tab()];
  await Promise.all(tabs.map((tab) => tab.access()));
  const used = browser.server.asked.map(([token]) => token);
  expect(used).toEqual(["rmr_1", "rmr_2", "rmr_3"]);
  expect(tabs.every((tab) => tab.state().accountId === "usr_1")).toBe(true);
});

test("an exchange whose answer was lost is repeated with the same id", async () => {
  const { browser, tab } = signedIn();
  browser.server.trouble.push("lost", "lost");
  tab.refused(await tab.access());
  await tab.access();
  expect(new Set(browser.server.asked.map((asked) => asked.join()))).toEqual(new Set(["rmr_1,request-1"]));
  expect(browser.server.asked).toHaveLength(3);
  expect(browser.waits).toHaveLength(2);
});

test("a page that was closed before the answer came repeats the same request when it is opened again", async () => {
  const { browser } = signedIn();
  browser.server.trouble.push("lost", new ConnectError("closed", Code.Canceled));
  await expect(browser.tab().access()).rejects.toThrow("closed");
  expect(await browser.tab().access()).toBe(accessToken(3));
  expect(new Set(browser.server.asked.map((asked) => asked.join()))).toEqual(new Set(["rmr_1,request-1"]));
});

test("trouble with the connection signs nobody out", async () => {
  const { browser, tab } = signedIn();
  tab.refused(await tab.access());
  for (let i = 0; i < 4; i += 1) browser.server.trouble.push(new ConnectError("away", Code.Unavailable));
  await expect(tab.access()).rejects.toThrow("away");
  expect(tab.state().accountId).toBe("usr_1");
  expect(await tab.access()).toBe(accessToken(2));
});

test.each(["REFRESH_TOKEN_INVALID", "REFRESH_TOKEN_REUSED"])(
  "a session that ended (%s) is forgotten, and why",
  async (reason) => {
    const { browser, tab } = signedIn();
    tab.refused(await tab.access());
    browser.server.trouble.push(refusedWith(reason));
    await expect(tab.access()).rejects.toThrow("no");
    expect(tab.state()).toMatchObject({ accountId: "", refused: { reason } });
    expect(browser.storage.length).toBe(0);
    expect(await tab.access()).toBe("");
  },
);

test("a refused access token is not used again, and a late refusal of an old one does not throw the new one away", async () => {
  const { tab } = signedIn();
  const first = await tab.access();
  tab.refused(first);
  const second = await tab.access();
  expect(second).not.toBe(first);
  tab.refused(first);
  expect(await tab.access()).toBe(second);
});

test("signing out in one tab signs out all, at once and on the server", async () => {
  const { browser, tab } = signedIn();
  const other = browser.tab();
  await other.access();
  const done = other.signOut();
  browser.tell(other);
  expect([tab.state().accountId, other.state().accountId]).toEqual(["", ""]);
  expect(await tab.access()).toBe("");
  await done;
  expect(browser.server.ended).toEqual(["rmr_2"]);
});

test("who signs out while a token is being exchanged stays signed out", async () => {
  const { browser, tab } = signedIn();
  const other = browser.tab();
  browser.server.meanwhile = () => void tab.signOut();
  expect(await other.access()).toBe("");
  expect(other.state().accountId).toBe("");
  expect(browser.storage.length).toBe(0);
});

test("another person who signs in in one tab is the one in all tabs", async () => {
  const { browser, tab } = signedIn();
  const other = browser.tab();
  other.signIn(browser.server.signIn("usr_2"));
  browser.tell(other);
  expect(tab.state().accountId).toBe("usr_2");
  expect(await tab.access()).not.toBe(accessToken(1));
});

test("what an older version of this page kept, or somebody else wrote, is nothing", () => {
  const browser = new Browser();
  for (const kept of ["{", "null", "7", '{"refreshToken":"rmr_1"}']) {
    browser.storage.setItem(SLOT, kept);
    expect(browser.tab().state().accountId).toBe("");
  }
});

test("how long a token lives is read from it, so that a wrong clock does not matter", () => {
  expect(lifetimeOf(accessToken(1))).toBe(LIFE * 1000);
  expect(lifetimeOf("garbage")).toBeUndefined();
  expect(lifetimeOf(`a.${btoa("{}")}.c`)).toBeUndefined();
});

test("listeners hear when who is signed in changes, and not of every exchange", async () => {
  const { tab } = signedIn();
  let heard = 0;
  tab.subscribe(() => (heard += 1));
  tab.refused(await tab.access());
  await tab.access();
  expect(heard).toBe(0);
  await tab.signOut();
  expect(heard).toBe(1);
});
