import { expect, test } from "vitest";

import { reportPath, routeOf, watchPath } from "./routes";

const ID = "ast_01jd5w8q2pe9yb6k1m3n4r5s6t";

test("each address leads to its page", () => {
  expect(routeOf("/", "")).toEqual({ page: "library" });
  expect(routeOf("/upload", "")).toEqual({ page: "upload" });
  expect(routeOf("/upload/", "")).toEqual({ page: "upload" });
  for (const page of ["sign-in", "register", "forgot-password", "account", "report-leak"]) {
    expect(routeOf(`/${page}`, "")).toEqual({ page });
  }
  expect(routeOf(`/watch/${ID}`, "")).toEqual({ page: "watch", assetId: ID, format: "dash" });
  expect(routeOf(`/watch/${ID}`, "?format=hls")).toEqual({ page: "watch", assetId: ID, format: "hls" });
});

test("the pages that let apps, devices and people in and out have an address each", () => {
  for (const page of ["authorize", "activate", "sso", "sign-out", "withdraw"] as const)
    expect(routeOf(`/${page}`, "")).toEqual({ page });
  expect(routeOf("/authorize/more", "")).toEqual({ page: "missing" });
});

test("a checkout that was paid has an address", () => {
  const checkoutId = ID.replace("ast", "chk");
  expect(routeOf(`/paid/${checkoutId}`, "")).toEqual({ page: "paid", checkoutId });
  expect(routeOf(`/paid/${ID}`, "")).toEqual({ page: "missing" });
});

test("a check of an age has an address", () => {
  const ageCheckId = ID.replace("ast", "agc");
  expect(routeOf(`/proved/${ageCheckId}`, "")).toEqual({ page: "proved", ageCheckId });
  expect(routeOf(`/proved/${ID}`, "")).toEqual({ page: "missing" });
});

test("anything else is missing, also a watch page of something that is no asset id", () => {
  for (const path of ["/nothing", "/upload/more", "/watch", "/watch/42", `/watch/${ID}/x`, "/watch/ast_ILLEGAL"]) {
    expect(routeOf(path, ""), path).toEqual({ page: "missing" });
  }
});

test("a watch path leads back to its page", () => {
  const url = new URL(watchPath(ID, "hls"), "http://x");
  expect(routeOf(url.pathname, url.search)).toEqual({ page: "watch", assetId: ID, format: "hls" });
});

test("the form for notices and the cases that links lead to have an address each", () => {
  expect(routeOf("/report", `?about=${ID}`)).toEqual({ page: "report" });
  expect(routeOf("/notice", "")).toEqual({ page: "notice" });
  expect(reportPath({ page: "watch", assetId: ID, format: "dash" })).toBe(`/report?about=${ID}`);
  expect(reportPath({ page: "library" })).toBe("/report");
});
