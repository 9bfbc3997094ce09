import { expect, test } from "vitest";

import { readFragment, takeFragment } from "./fragment";

test("code and key are read from the fragment", () => {
  expect(readFragment("#code=abc")).toEqual({ code: "abc", key: "", next: "" });
  expect(readFragment("#key=rmk_x&code=a%2Bb")).toEqual({ code: "a+b", key: "rmk_x", next: "" });
  expect(readFragment("#next=%2Fwatch%2Fa%3Fformat%3Dhls%26b")).toEqual({
    code: "",
    key: "",
    next: "/watch/a?format=hls&b",
  });
  expect(readFragment("#content")).toEqual({ code: "", key: "", next: "" });
  expect(readFragment("")).toEqual({ code: "", key: "", next: "" });
});

function arriveAt(url: string): { left: string[]; taken: ReturnType<typeof takeFragment> } {
  const left: string[] = [];
  const history = { state: null, replaceState: (_state: unknown, _title: string, to: string) => left.push(to) };
  return { left, taken: takeFragment(new URL(url) as unknown as Location, history as unknown as History) };
}

test("a secret leaves the address bar, the rest of the address stays", () => {
  const { left, taken } = arriveAt("http://x/watch/a?format=hls#code=secret");
  expect(taken.code).toBe("secret");
  expect(left).toEqual(["/watch/a?format=hls"]);
});

test("a fragment without secrets is left alone, so that links within a page work", () => {
  expect(arriveAt("http://x/sign-in#next=%2Fupload").left).toEqual([]);
  expect(arriveAt("http://x/upload#content").left).toEqual([]);
});
