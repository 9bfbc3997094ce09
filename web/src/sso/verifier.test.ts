import { expect, test } from "vitest";

import { MemoryStorage } from "../testing/memory";
import { begin, challengeOf, ownAddress, take } from "./verifier";

test("a sign-in can be ended once by the tab that began it", async () => {
  const storage = new MemoryStorage();
  const address = await begin(storage, "idp_1", "/upload");
  const begun = take(storage);
  expect(begun?.next).toBe("/upload");
  expect(begun?.verifier).toMatch(/^[\w-]{43}$/);
  expect(address).toBe(`/sso/idp_1/start?challenge=${await challengeOf(begun?.verifier ?? "")}`);
  expect(take(storage)).toBeNull();
});

test("the challenge is that of RFC 7636, appendix B", async () => {
  expect(await challengeOf("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk")).toBe(
    "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM",
  );
});

test("nobody is sent to another site afterwards", () => {
  for (const next of ["https://evil.example", "//evil.example", "/\\evil.example", "javascript:alert(1)", ""]) {
    expect(ownAddress(next), next).toBe("/");
  }
  expect(ownAddress("/activate#user_code=BCDF-GHJK")).toBe("/activate#user_code=BCDF-GHJK");
});
