import { create } from "@bufbuild/protobuf";
import { SignInOptionSchema } from "@gen/reelmesh/identity/v1/sso_pb";
import { expect, test } from "vitest";

import { appName, linkable, providerName } from "./apps";

test("an app that is gone can still be told from others that are not", () => {
  expect(appName("Studio app")).toBe("Studio app");
  expect(appName("")).toBe("An app that is not registered any more");
  expect(providerName("Acme")).toBe("Acme");
  expect(providerName("")).toBe("A provider that is not there any more");
});

test("a provider is offered until it is linked", () => {
  const [acme, other] = ["idp_1", "idp_2"].map((providerId) => create(SignInOptionSchema, { providerId }));
  if (acme === undefined || other === undefined) throw new Error("there are two");
  expect(linkable([acme, other], [])).toEqual([acme, other]);
  expect(linkable([acme, other], [{ providerId: "idp_1" }, { providerId: "idp_of_before" }])).toEqual([other]);
  expect(linkable([], [{ providerId: "idp_1" }])).toEqual([]);
});
