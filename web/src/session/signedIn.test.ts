import { create } from "@bufbuild/protobuf";
import { TokensSchema } from "@gen/reelmesh/identity/v1/identity_pb";
import { expect, test } from "vitest";

import { refusal } from "../api/refusal";
import { MemoryStorage } from "../testing/memory";
import { OperatorKey } from "./operatorKey";
import { PersonSession } from "./personSession";
import { may, SignedIn } from "./signedIn";

const TOKENS = create(TokensSchema, {
  accessToken: "access-1",
  refreshToken: "rmr_1",
  sessionId: "ses_1",
  accountId: "usr_1",
  organisationId: "org_1",
  permissions: ["playback.create"],
});
const INVALID = refusal("CREDENTIAL_INVALID");

function scene(): { signedIn: SignedIn; key: OperatorKey; ended: string[] } {
  const ended: string[] = [];
  const person = new PersonSession({
    storage: new MemoryStorage(),
    alone: (work) => work(),
    exchange: () => Promise.resolve(create(TokensSchema, { ...TOKENS, accessToken: "access-2" })),
    end: (token) => {
      ended.push(token);
      return Promise.resolve();
    },
    freshId: () => "request-1",
    now: () => 0,
    wait: () => Promise.resolve(),
  });
  const key = new OperatorKey(new MemoryStorage());
  return { signedIn: new SignedIn(key, person), key, ended };
}

test("a person's access token is shown, and a fresh one after it was refused", async () => {
  const { signedIn } = scene();
  expect(await signedIn.bearer()).toBe("");
  signedIn.signIn(TOKENS);
  expect(signedIn.state()).toMatchObject({ who: "person", id: "usr_1 org_1" });
  expect(await signedIn.bearer()).toBe("access-1");
  expect(signedIn.refused("access-1", INVALID)).toBe(true);
  expect(await signedIn.bearer()).toBe("access-2");
});

test("a key that was given in this tab counts first, and is put away to be a person again", async () => {
  const { signedIn, ended } = scene();
  signedIn.signIn(TOKENS);
  signedIn.acceptKey("rmk_1");
  expect(signedIn.state().who).toBe("key");
  expect(await signedIn.bearer()).toBe("rmk_1");
  await signedIn.signOut();
  expect(signedIn.state().who).toBe("person");
  expect(ended).toEqual([]);
  signedIn.acceptKey("rmk_1");
  signedIn.signIn(TOKENS);
  expect(signedIn.state().who).toBe("person");
});

test("a key that is not accepted is forgotten, and why is told", () => {
  const { signedIn } = scene();
  signedIn.acceptKey("rmk_1");
  expect(signedIn.refused("rmk_1", INVALID)).toBe(false);
  expect(signedIn.state()).toMatchObject({ who: "nobody", refused: { reason: "CREDENTIAL_INVALID" } });
});

test("other refusals change nothing, a wrong password of who is signed in least of all", async () => {
  const { signedIn } = scene();
  signedIn.signIn(TOKENS);
  expect(signedIn.refused("access-1", refusal("SIGN_IN_REFUSED"))).toBe(false);
  expect(signedIn.refused("access-1", refusal("PERMISSION_MISSING"))).toBe(false);
  expect(await signedIn.bearer()).toBe("access-1");
});

test("what a person may is known, and of a key it is tried", () => {
  const { signedIn } = scene();
  expect(may(signedIn.state(), "playback.create")).toBe(false);
  signedIn.signIn(TOKENS);
  expect(may(signedIn.state(), "playback.create")).toBe(true);
  expect(may(signedIn.state(), "uploads.write")).toBe(false);
  signedIn.signIn(create(TokensSchema, { ...TOKENS, permissions: ["*"] }));
  expect(may(signedIn.state(), "uploads.write")).toBe(true);
  signedIn.acceptKey("rmk_1");
  expect(may(signedIn.state(), "uploads.write")).toBe(true);
});
