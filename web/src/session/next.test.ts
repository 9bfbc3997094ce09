import { expect, test } from "vitest";

import { safeNext, withNext } from "./next";

test("a path of this site is gone to as it is, and of its fragment only what is no secret stays", () => {
  for (const path of [
    "/",
    "/upload",
    "/watch/ast_1?format=hls",
    "/oauth/authorize?client_id=a&redirect_uri=https%3A%2F%2Fb",
  ]) {
    expect(safeNext(path)).toBe(path);
  }
  expect(safeNext("/upload#key=rmk_theirs")).toBe("/upload");
  expect(safeNext("/authorize#request=aut_1&key=rmk_theirs&silent=1")).toBe("/authorize#request=aut_1&silent=1");
  expect(safeNext("/activate#user_code=BCDF-GHJK")).toBe("/activate#user_code=BCDF-GHJK");
});

test.each([
  "",
  "upload",
  "https://evil.example/",
  "//evil.example/",
  "///evil.example/",
  "/\\evil.example/",
  "/\t/evil.example/",
  "/\n/evil.example",
  "\\/evil.example",
  "/a\\..\\..//evil.example",
  "/..//evil.example",
  "/.//evil.example",
  " //evil.example",
  "javascript:alert(1)",
  "/\u0000/evil.example",
])("what may lead to another site leads to the library: %j", (text) => {
  expect(safeNext(text)).toBe("/");
});

test("a link on to the next page says where to go afterwards, and nothing when that is the library", () => {
  expect(withNext("/register", "/watch/a?format=hls&x")).toBe("/register#next=%2Fwatch%2Fa%3Fformat%3Dhls%26x");
  expect(withNext("/register", "/")).toBe("/register");
  expect(withNext("/register", "")).toBe("/register");
});
