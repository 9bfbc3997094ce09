import { expect, test } from "vitest";

import { backoff } from "./backoff";

test("waits double from half a second to fifteen and never longer", () => {
  const longest = [0, 1, 2, 3, 4, 5, 6, 20].map((attempt) => backoff(attempt, () => 1));
  expect(longest).toEqual([500, 1000, 2000, 4000, 8000, 15_000, 15_000, 15_000]);
});

test("waits are spread, so that many pages do not come back at once", () => {
  expect(backoff(3, () => 0)).toBe(2000);
});
