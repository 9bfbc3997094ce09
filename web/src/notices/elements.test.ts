import { expect, test } from "vitest";

import { counterNoticeOf, fieldKind, labelOf, missingOf, noticeOf } from "./elements";

const element = (name: string, required = true, statement = ""): never =>
  ({ name, required, statement }) as unknown as never;

test("each element is asked for in its own way", () => {
  expect(fieldKind(element("notifier.email"))).toBe("email");
  expect(fieldKind(element("explanation"))).toBe("long");
  expect(fieldKind(element("category"))).toBe("category");
  expect(fieldKind(element("good_faith", true, "I believe…"))).toBe("declared");
  expect(labelOf(element("notifier.phone", false))).toBe("Your phone number (optional)");
});

test("what is missing is told, but for what a category spares", () => {
  const form = {
    elements: [
      element("category"),
      element("notifier.name"),
      element("work", false),
      element("good_faith", true, "I…"),
    ],
    categories: [{ name: "child-sexual-abuse", title: "", anonymous: true }] as never,
  };
  expect(missingOf(form, {})).toEqual(["category", "notifier.name", "good_faith"]);
  expect(missingOf(form, { category: "fraud", "notifier.name": " ", good_faith: "yes" })).toEqual(["notifier.name"]);
  expect(missingOf(form, { category: "child-sexual-abuse", good_faith: "yes" })).toEqual([]);
});

test("what was filled in becomes a request", () => {
  const notice = noticeOf({ kind: 1 }, { "notifier.name": " Nora ", good_faith: "yes", location: "x" }, "de");
  expect(notice).toMatchObject({ kind: 1, location: "x", goodFaith: true, withoutConsent: false, language: "de" });
  expect(notice.notifier).toMatchObject({ name: "Nora", signature: "" });
  const counter = counterNoticeOf({
    "counter_notice.contact.phone": "1",
    "counter_notice.good_faith_under_perjury": "yes",
  });
  expect(counter).toMatchObject({ goodFaithUnderPerjury: true, consentsToJurisdiction: false });
});
