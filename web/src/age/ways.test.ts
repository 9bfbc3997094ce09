import { create } from "@bufbuild/protobuf";
import { AgeOptionSchema } from "@gen/reelmesh/compliance/v1/age_service_pb";
import { expect, test } from "vitest";

import { waysOf } from "./ways";

const OPTIONS = ["document", "credit-card"].map((method) => create(AgeOptionSchema, { provider: "them", method }));

test("only ways that are accepted where the viewer is are offered", () => {
  expect(waysOf(OPTIONS, "document,eu-age-verification").map((way) => way.method)).toEqual(["document"]);
  expect(waysOf(OPTIONS, "mobile-operator")).toEqual([]);
});

test("where nothing is said of methods all are", () => {
  expect(waysOf(OPTIONS, "")).toEqual(OPTIONS);
});
