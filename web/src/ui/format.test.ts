import { expect, test } from "vitest";

import { ago, bytes, percent, plural, remaining, timecode } from "./format";

test("bytes are told in decimal units with three significant digits", () => {
  const told = [0, 999, 1000, 1234, 12_345, 999_499, 999_500, 52_428_800, 50e9, 1.5e12].map(bytes);
  expect(told).toEqual([
    "0 B",
    "999 B",
    "1.00 kB",
    "1.23 kB",
    "12.3 kB",
    "999 kB",
    "1.00 MB",
    "52.4 MB",
    "50.0 GB",
    "1.50 TB",
  ]);
});

test("a timecode has hours only when it needs them", () => {
  expect([0, 7, 67, 3599.4, 3723].map(timecode)).toEqual(["0:00", "0:07", "1:07", "59:59", "1:02:03"]);
});

test("time left is rounded, so that it can be read", () => {
  expect([2, 12, 54, 80, 3500, 3600, 5000].map(remaining)).toEqual([
    "a few seconds",
    "about 15 s",
    "about 55 s",
    "about 1 min",
    "about 58 min",
    "about 1 h",
    "about 1 h 25 min",
  ]);
});

test("100% is said when all is done and not before", () => {
  expect([0, 0.999, 1, 1.2, -1].map(percent)).toEqual(["0%", "99%", "100%", "100%", "0%"]);
});

test("the past is told as people do", () => {
  const now = new Date("2026-11-21T12:00:00Z");
  const before = (seconds: number): string => ago(new Date(now.getTime() - seconds * 1000), now);
  expect([5, 300, 7200].map(before)).toEqual(["just now", "5 min ago", "2 h ago"]);
  expect(before(864_000)).toContain("2026");
});

test("one is not many", () => {
  expect([plural(1, "file"), plural(0, "file"), plural(2, "match", "matches")]).toEqual([
    "1 file",
    "0 files",
    "2 matches",
  ]);
});
