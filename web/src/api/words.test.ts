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

test("a bare name means what those mean by it whose refusals come without a domain: the edge, and the tus gateway", () => {
  for (const domain of ["rpc.reelmesh", "policy.reelmesh", "tus.reelmesh"]) {
    for (const [reason, words] of Object.entries(WORDS[domain] ?? {})) expect(wordsOf(reason), reason).toBe(words);
  }
});

test("a reason that two domains have is told in the words of its own", () => {
  expect(wordsOf("CODE_INVALID", "policy.reelmesh")?.title).toBe("This link was already used");
  expect(wordsOf("CODE_INVALID", "identity.reelmesh")?.title).toBe("The code is not right");
});

test("a reason that does not exist has no words", () => {
  expect(wordsOf("NO_SUCH_REASON")).toBeUndefined();
});
