// Signs of life of a playback. Of a viewer with a limited number of screens, whoever is silent gives the place away.

import { refusalOfAnswer, type Refusal } from "../api/refusal";

/** What a sequence of heartbeats is told, and what it tells. */
export interface HeartbeatOrder {
  readonly url: string;
  /** Makes the request; `fetch` in a browser. */
  readonly ask: (url: string, init: RequestInit) => Promise<Response>;
  /** Waits so many milliseconds, or until the signal fires. */
  readonly pause: (milliseconds: number, signal: AbortSignal) => Promise<void>;
  /** The session has its place. */
  readonly placed: () => void;
  /** The server says no. */
  readonly refused: (refusal: Refusal) => void;
}

/** The reason that says: not now, but as soon as another screen stops. */
export const NO_PLACE = "TOO_MANY_STREAMS";

const SECONDS = 10;
const LONGEST_SECONDS = 60;

/** Where a playback sends its heartbeats: beside its licences. */
export function heartbeatUrl(licenceUrl: string): string {
  return licenceUrl.replace(/\/licence\/clearkey$/, "/heartbeat");
}

/** Tells the server that the overlay was removed or hidden. Whether it hears it changes nothing here. */
export async function tellTampered(
  url: string,
  ask: HeartbeatOrder["ask"] = (where, init) => fetch(where, init),
): Promise<void> {
  const headers = { "content-type": "application/json" };
  const body = JSON.stringify({ overlay_tampered: true });
  await ask(url, { method: "POST", headers, body, cache: "no-store", keepalive: true }).catch(() => undefined);
}

/** Seconds in the JSON form of a `google.protobuf.Duration`, such as `10s`. */
function secondsIn(body: string): number {
  try {
    const { interval } = JSON.parse(body) as { interval?: unknown };
    const seconds = typeof interval === "string" ? Number.parseFloat(interval) : NaN;
    return seconds >= 1 ? Math.min(seconds, LONGEST_SECONDS) : SECONDS;
  } catch {
    return SECONDS;
  }
}

/** Beats once. Returns seconds until the next time, or null when there is no use in one. */
async function beat(order: HeartbeatOrder, signal: AbortSignal): Promise<number | null> {
  let answer: Response;
  let body: string;
  try {
    const headers = { "content-type": "application/json" };
    answer = await order.ask(order.url, { method: "POST", headers, body: "{}", cache: "no-store", signal });
    body = await answer.text();
  } catch {
    return SECONDS; // away for a moment: a place is kept for three beats
  }
  if (signal.aborted) return null;
  if (answer.ok) {
    order.placed();
    return secondsIn(body);
  }
  const header = (name: string): string | null => answer.headers.get(name);
  const refusal = refusalOfAnswer({ status: answer.status, header, body }, "PLAYER_FAILED", { 403: "TICKET_INVALID" });
  if (refusal.reason === NO_PLACE) {
    order.refused(refusal);
    return SECONDS;
  }
  if (refusal.kind === "transient") return Math.min(refusal.retryAfter ?? SECONDS, LONGEST_SECONDS);
  order.refused(refusal);
  return null;
}

/** Beats at once and then at the interval that the server names, until the signal fires or the session is over for good. */
export async function sendHeartbeats(order: HeartbeatOrder, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    const seconds = await beat(order, signal);
    if (seconds === null) return;
    await order.pause(seconds * 1000, signal);
  }
}
