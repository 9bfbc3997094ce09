import { create } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import { BadRequestSchema, ErrorInfoSchema, RetryInfoSchema } from "@gen/google/rpc/error_details_pb";
import { describe, expect, test } from "vitest";

import { refusalOfAnswer, refusalOfCall } from "./refusal";

function answer(status: number, body: string, headers: Record<string, string> = {}) {
  return { status, body, header: (name: string) => headers[name] };
}

function edgeBody(reason: string): string {
  return JSON.stringify({
    code: 7,
    message: "the session was revoked",
    details: [
      {
        "@type": "type.googleapis.com/google.rpc.ErrorInfo",
        reason,
        domain: "policy.reelmesh",
        metadata: { correlation_id: "c0ffee", session_id: "pbs_1" },
      },
    ],
  });
}

describe("a call by connect-web", () => {
  test("carries reason, the server's words, the correlation id and when to try again", () => {
    const error = new ConnectError("policy cannot be reached", Code.Unavailable, undefined, [
      {
        desc: ErrorInfoSchema,
        value: create(ErrorInfoSchema, {
          reason: "DEPENDENCY_UNAVAILABLE",
          domain: "rpc.reelmesh",
          metadata: { correlation_id: "abc" },
        }),
      },
      { desc: RetryInfoSchema, value: create(RetryInfoSchema, { retryDelay: { seconds: 1n, nanos: 500_000_000 } }) },
    ]);
    expect(refusalOfCall(error)).toMatchObject({
      reason: "DEPENDENCY_UNAVAILABLE",
      detail: "policy cannot be reached",
      correlationId: "abc",
      retryAfter: 1.5,
      kind: "transient",
    });
  });

  test("names each field that breaks the contract", () => {
    const error = new ConnectError("the request is invalid", Code.InvalidArgument, undefined, [
      { desc: ErrorInfoSchema, value: { reason: "REQUEST_INVALID", domain: "rpc.reelmesh" } },
      { desc: BadRequestSchema, value: { fieldViolations: [{ field: "title", description: "is too long" }] } },
    ]);
    expect(refusalOfCall(error).detail).toBe("the request is invalid\ntitle: is too long");
  });

  test("that is not authenticated asks for another key", () => {
    expect(refusalOfCall(new ConnectError("no", Code.Unauthenticated)).kind).toBe("credential");
  });

  test("that never reached a server is a broken connection, not a defect", () => {
    expect(refusalOfCall(new TypeError("Failed to fetch"))).toMatchObject({ reason: "UNREACHABLE", kind: "transient" });
  });

  test("quotes the id that was sent when the answer holds none", () => {
    expect(refusalOfCall(new ConnectError("?", Code.Internal), "sent").correlationId).toBe("sent");
  });

  test("with a reason of a newer server keeps the reason and still has words", () => {
    const error = new ConnectError("x", Code.Aborted, undefined, [
      { desc: ErrorInfoSchema, value: { reason: "FROM_THE_FUTURE", domain: "new.reelmesh" } },
    ]);
    expect(refusalOfCall(error)).toMatchObject({ reason: "FROM_THE_FUTURE", title: "Something went wrong" });
  });
});

describe("an HTTP answer of the edge", () => {
  test("is read from its body", () => {
    expect(refusalOfAnswer(answer(403, edgeBody("SESSION_REVOKED")))).toMatchObject({
      reason: "SESSION_REVOKED",
      title: "This playback was ended by the operator",
      detail: "the session was revoked",
      correlationId: "c0ffee",
      kind: "final",
    });
  });

  test("is read from its headers when the body tells nothing", () => {
    const headers = { "x-reelmesh-reason": "TICKET_EXPIRED", "x-correlation-id": "from-header" };
    expect(refusalOfAnswer(answer(403, "<html>", headers))).toMatchObject({
      reason: "TICKET_EXPIRED",
      correlationId: "from-header",
    });
  });

  test("is judged by its status when it has neither", () => {
    expect(refusalOfAnswer(answer(503, "upstream connect error")).reason).toBe("EDGE_UNAVAILABLE");
    expect(refusalOfAnswer(answer(418, "")).reason).toBe("UNKNOWN");
    expect(refusalOfAnswer(answer(404, ""), "UNKNOWN", { 404: "MEDIA_MISSING" }).reason).toBe("MEDIA_MISSING");
  });

  test("may hold details that this page does not know", () => {
    const body = JSON.stringify({ code: 7, message: "no", details: [{ "@type": "type.googleapis.com/x.Y", z: 1 }] });
    expect(refusalOfAnswer(answer(403, body, { "x-reelmesh-reason": "TICKET_INVALID" })).reason).toBe("TICKET_INVALID");
  });

  test("tells when to come back", () => {
    expect(refusalOfAnswer(answer(503, "", { "retry-after": "7" })).retryAfter).toBe(7);
  });
});
