// One form for everything that can be refused or fail, wherever it comes from: gRPC-web, the edge, tus, or the player.

import { createRegistry, fromJson, type JsonValue } from "@bufbuild/protobuf";
import { anyUnpack } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError } from "@connectrpc/connect";
import { BadRequestSchema, ErrorInfoSchema, RetryInfoSchema, type ErrorInfo } from "@gen/google/rpc/error_details_pb";
import { StatusSchema } from "@gen/google/rpc/status_pb";

import { wordsOf, type OwnReason } from "./words";

/** What a person is told, and what the program does next. */
export interface Refusal {
  /** An `ErrorReason` of the contracts without its prefix, or an `OwnReason`. */
  readonly reason: string;
  /** What is wrong, in a few words. */
  readonly title: string;
  /** How to mend it. */
  readonly advice: string;
  /** The server's own words; empty when it sent none. */
  readonly detail: string;
  /** The id to quote to the operator; empty when nothing was asked of a server. */
  readonly correlationId: string;
  /** `credential`: sign in again. `transient`: the same may work later. `final`: it will not. */
  readonly kind: "credential" | "transient" | "final";
  /** Seconds after which the server suggests to try again. */
  readonly retryAfter: number | undefined;
  /** What is wrong with which field of the request; empty when that is not the trouble. */
  readonly fields: readonly WrongField[];
  /** The facts that the contract documents for the reason, by name. */
  readonly metadata: Readonly<Record<string, string>>;
}

/** A field that was not accepted, by its name in the contract. */
export interface WrongField {
  readonly field: string;
  readonly description: string;
}

const CREDENTIAL = new Set(["CREDENTIAL_INVALID"]);
const TRANSIENT = new Set([
  "DEPENDENCY_UNAVAILABLE",
  "DEADLINE_EXCEEDED",
  "DRAINING",
  "OVERLOADED",
  "RATE_LIMITED",
  "TOO_MANY_STREAMS",
  "INTERNAL",
  "WRITER_BUSY",
  "OFFSET_MISMATCH",
  "CHUNK_CORRUPT",
  "OFFLINE",
  "UNREACHABLE",
  "EDGE_UNAVAILABLE",
  "PROCESSOR_UNAVAILABLE",
]);

interface Extras {
  readonly domain?: string | undefined;
  readonly detail?: string | undefined;
  readonly correlationId?: string | undefined;
  readonly retryAfter?: number | undefined;
  readonly fields?: readonly WrongField[] | undefined;
  readonly metadata?: Readonly<Record<string, string>> | undefined;
  /** Stands in for the title where a reason is not known to this application. */
  readonly fallback?: OwnReason | undefined;
}

/** Builds a refusal from a reason. An unknown one (a newer server) keeps its name and gets the words of the fallback. */
export function refusal(reason: string, extras: Extras = {}): Refusal {
  const fallback = extras.fallback ?? "UNKNOWN";
  const words = wordsOf(reason, extras.domain) ?? wordsOf(fallback);
  return {
    reason,
    title: words?.title ?? reason,
    advice: words?.advice ?? "",
    detail: extras.detail ?? "",
    correlationId: extras.correlationId ?? "",
    kind: CREDENTIAL.has(reason) ? "credential" : TRANSIENT.has(reason) ? "transient" : "final",
    retryAfter: extras.retryAfter,
    fields: extras.fields ?? [],
    metadata: extras.metadata ?? {},
  };
}

/** A refusal as something that can be thrown. */
export class Refused extends Error {
  readonly refusal: Refusal;

  constructor(found: Refusal) {
    super(`${found.reason}: ${found.title}`);
    this.refusal = found;
  }
}

/** Builds a refusal that this application found by itself. */
export function ownRefusal(reason: OwnReason, extras: Omit<Extras, "domain" | "fallback"> = {}): Refusal {
  return refusal(reason, { ...extras, domain: "here" });
}

/** The reason for a server that cannot be reached at all. */
export function unreachable(correlationId = ""): Refusal {
  const offline = typeof navigator !== "undefined" && "onLine" in navigator && !navigator.onLine;
  return ownRefusal(offline ? "OFFLINE" : "UNREACHABLE", { correlationId });
}

const REASON_OF_CODE: Partial<Record<Code, string>> = {
  [Code.Unauthenticated]: "CREDENTIAL_INVALID",
  [Code.PermissionDenied]: "PERMISSION_MISSING",
  [Code.InvalidArgument]: "REQUEST_INVALID",
  [Code.DeadlineExceeded]: "DEADLINE_EXCEEDED",
  [Code.Unavailable]: "DEPENDENCY_UNAVAILABLE",
  [Code.Internal]: "INTERNAL",
};

/** Turns whatever a call by connect-web threw into a refusal. */
export function refusalOfCall(error: unknown, sentCorrelationId = ""): Refusal {
  if (error instanceof Refused) return error.refusal;
  const thrown = ConnectError.from(error);
  const info = thrown.findDetails(ErrorInfoSchema)[0];
  const correlationId = info?.metadata.correlation_id ?? thrown.metadata.get("x-correlation-id") ?? sentCorrelationId;
  const retryAfter = thrown.findDetails(RetryInfoSchema)[0]?.retryDelay;
  const fields = thrown.findDetails(BadRequestSchema).flatMap((bad) => bad.fieldViolations);
  if (info !== undefined) {
    return refusal(info.reason, {
      domain: info.domain,
      detail: [thrown.rawMessage, ...fields.map((field) => `${field.field}: ${field.description}`)].join("\n"),
      correlationId,
      fields: fields.map(({ field, description }) => ({ field, description })),
      metadata: info.metadata,
      retryAfter: retryAfter === undefined ? undefined : Number(retryAfter.seconds) + retryAfter.nanos / 1e9,
    });
  }
  if (thrown.cause instanceof TypeError || (thrown.code === Code.Unknown && thrown.rawMessage === "Failed to fetch")) {
    return unreachable(correlationId);
  }
  return refusal(REASON_OF_CODE[thrown.code] ?? "UNKNOWN", { detail: thrown.rawMessage, correlationId });
}

const details = createRegistry(ErrorInfoSchema, BadRequestSchema, RetryInfoSchema);

interface StatusBody {
  readonly message: string;
  readonly info: ErrorInfo | undefined;
}

function statusOf(body: string): StatusBody | undefined {
  let json: JsonValue;
  try {
    json = JSON.parse(body) as JsonValue;
  } catch {
    return undefined;
  }
  try {
    const status = fromJson(StatusSchema, json, { registry: details, ignoreUnknownFields: true });
    const info = status.details
      .map((any) => anyUnpack(any, details))
      .find((message) => message?.$typeName === "google.rpc.ErrorInfo");
    return { message: status.message, info: info as ErrorInfo | undefined };
  } catch {
    return undefined;
  }
}

/** What an HTTP answer that is not a success looks like to those that made the request. */
export interface HttpAnswer {
  readonly status: number;
  /** Looks a header up; null or undefined when it is absent. */
  readonly header: (name: string) => string | null | undefined;
  readonly body: string;
}

type ByStatus = Readonly<Record<number, string>>;

const REASON_OF_STATUS: ByStatus = {
  401: "CREDENTIAL_INVALID",
  429: "EDGE_UNAVAILABLE",
  500: "INTERNAL",
  502: "EDGE_UNAVAILABLE",
  503: "EDGE_UNAVAILABLE",
  504: "EDGE_UNAVAILABLE",
};

/**
 * Turns a refused HTTP request (of the edge, a licence, tus) into a refusal. The body is `google.rpc.Status` as JSON; the header
 * `x-reelmesh-reason` repeats the reason for clients that do not read bodies. An answer with neither is judged by its status.
 */
export function refusalOfAnswer(
  answer: HttpAnswer,
  otherwise: OwnReason = "UNKNOWN",
  byStatus: ByStatus = {},
): Refusal {
  const status = statusOf(answer.body);
  const reason = status?.info?.reason ?? answer.header("x-reelmesh-reason") ?? "";
  const retryAfter = Number(answer.header("retry-after") ?? NaN);
  const extras: Extras = {
    domain: status?.info?.domain,
    detail: status?.message,
    correlationId: status?.info?.metadata.correlation_id ?? answer.header("x-correlation-id") ?? "",
    retryAfter: Number.isFinite(retryAfter) ? retryAfter : undefined,
    fallback: otherwise,
  };
  const guess = byStatus[answer.status] ?? REASON_OF_STATUS[answer.status] ?? otherwise;
  return refusal(reason === "" ? guess : reason, extras);
}
