// What the player's error codes mean for a person. Codes: https://shaka-player-demo.appspot.com/docs/api/shaka.util.Error.html

import { ownRefusal, refusalOfAnswer, unreachable, type Refusal } from "../api/refusal";
import type { OwnReason } from "../api/words";

/** An error as Shaka Player tells it. */
export interface PlayerError {
  readonly code: number;
  /** 1 recoverable, 2 critical. */
  readonly severity: number;
  readonly data: readonly unknown[];
}

const BAD_HTTP_STATUS = 1001;
const HTTP_ERROR = 1002;
const TIMEOUT = 1003;
const ATTEMPTS_EXHAUSTED = 1010;
const VIDEO_ERROR = 3016;
const RESTRICTIONS_CANNOT_BE_MET = 4012;
const CONTENT_UNSUPPORTED_BY_BROWSER = 4032;
const LICENSE_REQUEST_FAILED = 6007;
const LICENSE_RESPONSE_REJECTED = 6008;
const EXPIRED = 6014;
const DRM_MISSING = new Set([6000, 6001, 6002, 6003, 6005, 6006, 6010, 6012, 6020]);
// The page itself interrupted the player: nothing that a person need know.
const INTERRUPTED = new Set([7000, 7001, 7003]);

/** Whether a value has the form of a player error. */
export function isPlayerError(value: unknown): value is PlayerError {
  if (typeof value !== "object" || value === null) return false;
  const { code, severity, data } = value as Partial<Record<keyof PlayerError, unknown>>;
  return typeof code === "number" && typeof severity === "number" && Array.isArray(data);
}

/** Whether the error only says that the page moved on. */
export function isInterruption(error: PlayerError): boolean {
  return INTERRUPTED.has(error.code);
}

/** The failed HTTP request inside an error: the error itself, or the one wrapped in a failed licence request. */
function requestIn(error: PlayerError): PlayerError | undefined {
  if (error.code === BAD_HTTP_STATUS || error.code === HTTP_ERROR || error.code === TIMEOUT) return error;
  const inner = error.data.find(isPlayerError);
  return inner === undefined ? undefined : requestIn(inner);
}

/** Whether the server said no, as opposed to being away. Trying again is of no use then. */
export function isDenied(error: PlayerError): boolean {
  const request = requestIn(error);
  return request?.code === BAD_HTTP_STATUS && [401, 403, 410, 451].includes(Number(request.data[1]));
}

function refusalOfRequest({ code, data }: PlayerError): Refusal {
  if (code !== BAD_HTTP_STATUS) return unreachable();
  // data: URI, status, body, headers, request type
  const [, status, body, headers] = data;
  const fields = typeof headers === "object" && headers !== null ? (headers as Record<string, unknown>) : {};
  const header = (name: string): string | undefined => {
    const value = fields[name];
    return typeof value === "string" ? value : undefined;
  };
  const answer = { status: Number(status), header, body: typeof body === "string" ? body : "" };
  return refusalOfAnswer(answer, "PLAYER_FAILED", {
    403: "TICKET_INVALID",
    404: "MEDIA_MISSING",
    410: "MEDIA_MISSING",
  });
}

/** A `VIDEO_ERROR` holds the numbers of `MediaError`, and a message such as `PIPELINE_ERROR_DECODE: …`. */
function mediaReason(error: PlayerError, anyFrame: boolean): OwnReason {
  const message = error.data.filter((item) => typeof item === "string").join(" ");
  return /decrypt|cdm/i.test(message) || !anyFrame ? "KEY_WRONG" : "DECODE_FAILED";
}

function restrictionReason({ data }: PlayerError): OwnReason {
  const found = (data[0] ?? {}) as { missingKeys?: unknown[]; restrictedKeyStatuses?: unknown[] };
  const keys = (found.missingKeys?.length ?? 0) + (found.restrictedKeyStatuses?.length ?? 0);
  return keys > 0 ? "KEY_MISSING" : "FORMAT_UNSUPPORTED";
}

function reasonOf(error: PlayerError, anyFrame: boolean): OwnReason {
  switch (error.code) {
    case VIDEO_ERROR:
      return mediaReason(error, anyFrame);
    case RESTRICTIONS_CANNOT_BE_MET:
      return restrictionReason(error);
    case CONTENT_UNSUPPORTED_BY_BROWSER:
      return "FORMAT_UNSUPPORTED";
    case LICENSE_RESPONSE_REJECTED:
      return "LICENCE_UNREADABLE";
    case EXPIRED:
      return "KEY_MISSING";
  }
  if (DRM_MISSING.has(error.code)) return "DRM_UNSUPPORTED";
  const category = Math.floor(error.code / 1000);
  if (category === 3) return anyFrame ? "DECODE_FAILED" : "FORMAT_UNSUPPORTED";
  return category === 4 ? "MANIFEST_UNREADABLE" : "PLAYER_FAILED";
}

/**
 * Turns an error of the player into a refusal.
 *
 * @param anyFrame whether a picture was ever shown. A decode error before the first one means that the key does not fit.
 */
export function refusalOfPlayer(error: PlayerError, anyFrame: boolean): Refusal {
  const request = requestIn(error);
  if (request !== undefined) return refusalOfRequest(request);
  if (error.code === ATTEMPTS_EXHAUSTED || error.code === LICENSE_REQUEST_FAILED) return unreachable();
  return ownRefusal(reasonOf(error, anyFrame), { detail: `Player code ${error.code}` });
}
