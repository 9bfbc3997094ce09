import { expect, test } from "vitest";

import { ownRefusal } from "../api/refusal";
import { MemoryStorage } from "../testing/memory";
import { OperatorKey } from "./operatorKey";

test("a key outlives a reload, without the blanks that came along when it was copied", () => {
  const storage = new MemoryStorage();
  new OperatorKey(storage).accept(" rmk_1\n");
  expect(new OperatorKey(storage).state().key).toBe("rmk_1");
});

test("a key that is not accepted is forgotten, and the reason is told", () => {
  const storage = new MemoryStorage();
  const operatorKey = new OperatorKey(storage);
  operatorKey.accept("rmk_1");
  operatorKey.refuse("rmk_1", ownRefusal("UNKNOWN"));
  expect(operatorKey.state()).toMatchObject({ key: "", refused: { reason: "UNKNOWN" } });
  expect(storage.length).toBe(0);
});

test("a late refusal of an old key does not throw a new one away", () => {
  const operatorKey = new OperatorKey(new MemoryStorage());
  operatorKey.accept("rmk_2");
  operatorKey.refuse("rmk_1", ownRefusal("UNKNOWN"));
  expect(operatorKey.state().key).toBe("rmk_2");
});

test("listeners hear of every change", () => {
  const operatorKey = new OperatorKey(new MemoryStorage());
  let heard = 0;
  const stop = operatorKey.subscribe(() => (heard += 1));
  operatorKey.accept("rmk_1");
  operatorKey.forget();
  stop();
  operatorKey.accept("rmk_2");
  expect(heard).toBe(2);
});
