import { expect, test } from "vitest";

import { belongsTo, sameAt } from "./relyingParty";

test("passkeys of a site work on it and below it, and nowhere else", () => {
  expect(belongsTo("video.example", "video.example")).toBe(true);
  expect(belongsTo("www.video.example", "video.example")).toBe(true);
  expect(belongsTo("evilvideo.example", "video.example")).toBe(false);
  expect(belongsTo("127.0.0.1", "localhost")).toBe(false);
  expect(belongsTo("video.example", "")).toBe(false);
});

test("the same page by the name of the site", () => {
  const here = { protocol: "http:", port: "8080", pathname: "/account" };
  expect(sameAt("localhost", here)).toBe("http://localhost:8080/account");
  expect(sameAt("video.example", { ...here, protocol: "https:", port: "" })).toBe("https://video.example/account");
});
