import { expect, test } from "vitest";

import { ownRefusal } from "../api/refusal";
import { MemoryStorage } from "../testing/memory";
import { Credential } from "./credential";

test("a key outlives a reload, without the blanks that came along when it was copied", () => {
  const storage = new MemoryStorage();
  new Credential(storage).accept(" rmk_1\n");
  expect(new Credential(storage).state().key).toBe("rmk_1");
});

test("a key that is not accepted is forgotten, and the reason is told", () => {
  const storage = new MemoryStorage();
  const credential = new Credential(storage);
  credential.accept("rmk_1");
  credential.refuse("rmk_1", ownRefusal("UNKNOWN"));
  expect(credential.state()).toMatchObject({ key: "", refused: { reason: "UNKNOWN" } });
  expect(storage.length).toBe(0);
});

test("a late refusal of an old key does not throw a new one away", () => {
  const credential = new Credential(new MemoryStorage());
  credential.accept("rmk_2");
  credential.refuse("rmk_1", ownRefusal("UNKNOWN"));
  expect(credential.state().key).toBe("rmk_2");
});

test("listeners hear of every change", () => {
  const credential = new Credential(new MemoryStorage());
  let heard = 0;
  const stop = credential.subscribe(() => (heard += 1));
  credential.accept("rmk_1");
  credential.forget();
  stop();
  credential.accept("rmk_2");
  expect(heard).toBe(2);
});
