import { describe, expect, test } from "vitest";

import { isDenied, isInterruption, isPlayerError, refusalOfPlayer, type PlayerError } from "./playerRefusal";

function error(code: number, ...data: unknown[]): PlayerError {
  return { code, severity: 2, data };
}

function http(status: number, reason = ""): PlayerError {
  const headers = reason === "" ? {} : { "x-reelmesh-reason": reason, "x-correlation-id": "c1" };
  return error(1001, "http://x/p/secret/pkg/manifest.mpd", status, "", headers, 0);
}

describe("what the edge says", () => {
  test.each([
    "TICKET_MISSING",
    "TICKET_INVALID",
    "TICKET_EXPIRED",
    "TICKET_OTHER_PACKAGE",
    "SESSION_REVOKED",
    "ASSET_WITHDRAWN",
    "PATH_INVALID",
  ])("%s comes through", (reason) => {
    const refusal = refusalOfPlayer(http(403, reason), true);
    expect(refusal).toMatchObject({ reason, correlationId: "c1", kind: "final" });
    expect(isDenied(http(403, reason))).toBe(true);
  });

  test("a licence that is refused tells the reason of the request inside", () => {
    const licence = error(6007, http(403, "KEY_NOT_ENTITLED"));
    expect(refusalOfPlayer(licence, false).reason).toBe("KEY_NOT_ENTITLED");
    expect(isDenied(licence)).toBe(true);
  });

  test("an edge that is away may be tried again", () => {
    expect(refusalOfPlayer(http(503), true)).toMatchObject({ reason: "EDGE_UNAVAILABLE", kind: "transient" });
    expect(isDenied(http(503))).toBe(false);
    expect(refusalOfPlayer(error(1002, "http://x", new Error("net"), 1), true).reason).toBe("UNREACHABLE");
    expect(refusalOfPlayer(error(6007, error(1003, "http://x")), true).reason).toBe("UNREACHABLE");
  });

  test("no refusal repeats the URL, which carries the ticket", () => {
    for (const found of [http(403), http(404), error(1002, "http://x/p/secret"), error(9999, "http://x/p/secret")]) {
      expect(JSON.stringify(refusalOfPlayer(found, false))).not.toContain("secret");
    }
  });

  test("what is missing is missing", () => {
    expect(refusalOfPlayer(http(404), true).reason).toBe("MEDIA_MISSING");
  });
});

describe("what the player finds", () => {
  test.each([
    [
      "a wrong key, which shows before the first picture",
      error(3016, 3, 0, "PIPELINE_ERROR_DECODE"),
      false,
      "KEY_WRONG",
    ],
    ["a key that stops to fit", error(3016, 3, 0, "Failed to decrypt"), true, "KEY_WRONG"],
    ["a damaged segment", error(3016, 3, 0, "PIPELINE_ERROR_DECODE"), true, "DECODE_FAILED"],
    ["an empty licence", error(6008, "x"), false, "LICENCE_UNREADABLE"],
    ["a licence without all keys", error(4012, { missingKeys: ["0a"] }), false, "KEY_MISSING"],
    ["formats that no track fits", error(4012, { missingKeys: [] }), false, "FORMAT_UNSUPPORTED"],
    ["a browser without Clear Key", error(6001), false, "DRM_UNSUPPORTED"],
    ["an unreadable manifest", error(4001), false, "MANIFEST_UNREADABLE"],
    ["a codec that the browser lacks", error(4032), false, "FORMAT_UNSUPPORTED"],
    ["anything else", error(5006), false, "PLAYER_FAILED"],
  ] as const)("%s", (_what, found, anyFrame, reason) => {
    expect(refusalOfPlayer(found, anyFrame).reason).toBe(reason);
  });

  test("an interruption by the page itself is nothing to tell", () => {
    expect(isInterruption(error(7000))).toBe(true);
    expect(isInterruption(error(3016))).toBe(false);
  });

  test("what is no player error is not taken for one", () => {
    expect([null, {}, { code: 1 }, new Error("x"), error(1)].map(isPlayerError)).toEqual([
      false,
      false,
      false,
      false,
      true,
    ]);
  });
});
