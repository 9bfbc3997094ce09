import { expect, test } from "vitest";

import { stepOf } from "./step";

const BACK = { redirectUri: "https://app.example/bye" };

test("nothing is done before it is known what is asked", () => {
  for (const who of ["nobody", "person", "key"] as const) expect(stepOf(null, who)).toBe("wait");
});

test("whoever is signed in is asked", () => {
  expect(stepOf(BACK, "person")).toBe("ask");
  expect(stepOf({ redirectUri: "" }, "key")).toBe("ask");
});

test("whoever is not goes back to the app, or stays where there is no way back", () => {
  expect(stepOf(BACK, "nobody")).toBe("leave");
  expect(stepOf({ redirectUri: "" }, "nobody")).toBe("out");
});
