import { expect, test } from "vitest";

import { backoff, backoffAfter } from "./backoff";

test("waits double from half a second to fifteen and never longer", () => {
  const longest = [0, 1, 2, 3, 4, 5, 6, 20].map((attempt) => backoff(attempt, () => 1));
  expect(longest).toEqual([500, 1000, 2000, 4000, 8000, 15_000, 15_000, 15_000]);
});

test("waits are spread, so that many pages do not come back at once", () => {
  expect(backoff(3, () => 0)).toBe(2000);
});

test("a server that says when to come again is heeded", () => {
  expect(backoffAfter(0, 42)).toBe(42_000);
  expect(backoffAfter(6, 1, () => 1)).toBe(15_000);
  expect(backoffAfter(1, undefined, () => 1)).toBe(1000);
});
