import { expect, test } from "vitest";

import type { Refusal } from "../api/refusal";
import { heartbeatUrl, sendHeartbeats } from "./heartbeat";

const URL = "https://film.example/p/t/pkg_1/heartbeat";

/** What happens when the server gives these answers one after the other, and then the page is closed. */
async function told(...answers: (Response | Error)[]): Promise<string[]> {
  const gone = new AbortController();
  const seen: string[] = [];
  await sendHeartbeats(
    {
      url: URL,
      ask: (url, init) => {
        seen.push(`${init.method ?? "GET"} ${url}`);
        const answer = answers.shift();
        if (answer === undefined) throw new Error("asked too often");
        return answer instanceof Error ? Promise.reject(answer) : Promise.resolve(answer);
      },
      pause: (milliseconds) => {
        seen.push(`wait ${String(milliseconds)}`);
        if (answers.length === 0) gone.abort();
        return Promise.resolve();
      },
      placed: () => seen.push("placed"),
      refused: ({ reason }: Refusal) => seen.push(reason),
    },
    gone.signal,
  );
  return seen.filter((line) => !line.startsWith("POST"));
}

function placed(interval = "10s"): Response {
  return new Response(JSON.stringify({ interval }));
}

function refused(status: number, reason: string): Response {
  return new Response("", { status, headers: { "x-reelmesh-reason": reason } });
}

test("heartbeats go to where the licences are", () => {
  expect(heartbeatUrl("https://film.example/p/t/pkg_1/licence/clearkey")).toBe(URL);
});

test("the server says when to beat again", async () => {
  expect(await told(placed(), placed("4.5s"), placed("0s"), placed("3600s"))).toEqual([
    ...["placed", "wait 10000"],
    ...["placed", "wait 4500"],
    ...["placed", "wait 10000"],
    ...["placed", "wait 60000"],
  ]);
});

test("who lost the place is told, and asks again until there is one", async () => {
  const full = refused(429, "TOO_MANY_STREAMS");
  expect(await told(placed(), full, refused(403, "TOO_MANY_STREAMS"), placed())).toEqual([
    ...["placed", "wait 10000"],
    ...["TOO_MANY_STREAMS", "wait 10000"],
    ...["TOO_MANY_STREAMS", "wait 10000"],
    ...["placed", "wait 10000"],
  ]);
});

test("a server that is away for a moment changes nothing", async () => {
  const busy = refused(503, "DEPENDENCY_UNAVAILABLE");
  expect(await told(new TypeError("Failed to fetch"), busy, placed())).toEqual([
    "wait 10000",
    "wait 10000",
    ...["placed", "wait 10000"],
  ]);
});

test("a session that is over is not kept alive", async () => {
  expect(await told(refused(403, "SESSION_REVOKED"))).toEqual(["SESSION_REVOKED"]);
});
