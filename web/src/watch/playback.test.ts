import { create } from "@bufbuild/protobuf";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import { createClient, createRouterTransport } from "@connectrpc/connect";
import { PlaybackSchema, type Playback } from "@gen/reelmesh/policy/v1/policy_pb";
import { PolicyService } from "@gen/reelmesh/policy/v1/policy_service_pb";
import { expect, test } from "vitest";

import { MemoryStorage } from "../testing/memory";
import { forgetPlayback, keepPlayback, keepPosition, keptPlayback, keptPosition, nearby, redeem } from "./playback";

const NOON = new Date("2026-11-21T12:00:00Z");
const ONE = new Date("2026-11-21T13:00:00Z");

function playback(): Playback {
  return create(PlaybackSchema, {
    sessionId: "pbs_1",
    assetId: "ast_1",
    dashUrl: "http://127.0.0.1:8080/p/t/pkg_1/manifest.mpd",
    expireTime: timestampFromDate(ONE),
  });
}

test("a playback outlives a reload until its time is over", () => {
  const storage = new MemoryStorage();
  keepPlayback(storage, playback());
  expect(keptPlayback(storage, "ast_1", NOON)).toEqual(playback());
  expect(keptPlayback(storage, "ast_2", NOON)).toBeNull();
  expect(keptPlayback(storage, "ast_1", ONE)).toBeNull();
  expect(storage.length).toBe(0);
});

test("a playback that was refused for good is forgotten", () => {
  const storage = new MemoryStorage();
  keepPlayback(storage, playback());
  forgetPlayback(storage, "ast_1");
  expect(keptPlayback(storage, "ast_1", NOON)).toBeNull();
});

test("what cannot be read is as good as nothing", () => {
  const storage = new MemoryStorage();
  storage.setItem("reelmesh.playback.ast_1", "{");
  expect(keptPlayback(storage, "ast_1", NOON)).toBeNull();
});

test("a session goes on where it was", () => {
  const storage = new MemoryStorage();
  expect(keptPosition(storage, "pbs_1")).toBe(0);
  keepPosition(storage, "pbs_1", 12.345);
  expect(keptPosition(storage, "pbs_1")).toBe(12.3);
});

test("names of this machine are one origin; other hosts stay as they are", () => {
  expect(nearby("http://127.0.0.1:8080/p/x", "http://localhost:8080")).toBe("http://localhost:8080/p/x");
  expect(nearby("http://localhost:8080/p/x", "http://[::1]:8080")).toBe("http://[::1]:8080/p/x");
  expect(nearby("http://localhost:9000/p/x", "http://127.0.0.1:8080")).toBe("http://localhost:9000/p/x");
  expect(nearby("https://cdn.example/p/x", "https://film.example")).toBe("https://cdn.example/p/x");
  expect(nearby("/p/x", "https://film.example")).toBe("https://film.example/p/x");
  expect(nearby("", "https://film.example")).toBe("");
});

test("a one-time code is spent once, however often it is asked for", async () => {
  let spent = 0;
  const transport = createRouterTransport(({ service }) => {
    service(PolicyService, {
      redeemPlaybackCode() {
        spent += 1;
        return { playback: playback() };
      },
    });
  });
  const client = createClient(PolicyService, transport);
  const [first, second] = await Promise.all([redeem(client, "code"), redeem(client, "code")]);
  expect(second).toBe(first);
  expect(spent).toBe(1);
});
