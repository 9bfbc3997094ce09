import { readFileSync } from "node:fs";

import type { DescEnum, DescFile } from "@bufbuild/protobuf";
import { describe, expect, test } from "vitest";

import { WORDS, wordsOf } from "./words";

const generated = import.meta.glob<Record<string, unknown>>("../../../gen/web/reelmesh/**/*_pb.ts", { eager: true });

function isFile(value: unknown): value is DescFile {
  return typeof value === "object" && value !== null && (value as { kind?: unknown }).kind === "file";
}

const reasonEnums: DescEnum[] = Object.values(generated)
  .flatMap((module) => Object.values(module))
  .filter(isFile)
  .flatMap((file) => file.enums)
  .filter((found) => found.name === "ErrorReason");

const reasons = reasonEnums.flatMap((found) => {
  const domain = `${found.typeName.split(".")[1] ?? ""}.reelmesh`;
  return found.values
    .filter((value) => value.number !== 0)
    .map((value) => ({ domain, reason: value.name.replace(/^ERROR_REASON_/, "") }));
});

test("the contracts of every domain are looked at", () => {
  expect(new Set(reasons.map(({ domain }) => domain))).toEqual(
    new Set(Object.keys(WORDS).filter((name) => name !== "here" && name !== "tus.reelmesh")),
  );
});

describe.each(reasons)("$domain $reason", ({ domain, reason }) => {
  test("is told to people in words", () => {
    const words = WORDS[domain]?.[reason];
    expect(words?.title).toMatch(/^[A-Z][^.]+[^.]$/);
    expect(words?.advice).toMatch(/\.$/);
  });
});

const gateway = readFileSync(new URL("../../../gateway/tus/refusals.py", import.meta.url), "utf8");
const gatewayReasons = [...gateway.matchAll(/^ {4}([A-Z_]+) = "\1"$/gm)].map(([, name]) => name ?? "");

test("the reasons of the tus gateway are looked at", () => {
  expect(gatewayReasons).toContain("SUPERSEDED");
});

test.each(gatewayReasons)("the tus gateway's %s is told to people in words", (reason) => {
  expect(wordsOf(reason, "tus.reelmesh")).toBeDefined();
});

test("a reason is found by its bare name, as the edge's header sends it", () => {
  expect(wordsOf("SESSION_REVOKED")?.title).toBe("This playback was ended by the operator");
});

test("no two domains use one name with different meanings, where the edge's header does not tell the domain", () => {
  const names = Object.entries(WORDS)
    .filter(([domain]) => domain !== "identity.reelmesh")
    .flatMap(([, table]) => Object.keys(table));
  expect(names.length).toBe(new Set(names).size);
});

test("a name that accounts share with the edge is the edge's when it comes alone", () => {
  expect(wordsOf("CODE_INVALID")).toBe(WORDS["policy.reelmesh"]?.CODE_INVALID);
  expect(wordsOf("CODE_INVALID", "identity.reelmesh")).toBe(WORDS["identity.reelmesh"]?.CODE_INVALID);
});

test("a reason that does not exist has no words", () => {
  expect(wordsOf("NO_SUCH_REASON")).toBeUndefined();
});
