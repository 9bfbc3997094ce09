import { expect, test } from "vitest";

import { priceText, territoryOf } from "./price";

test("a price has as many decimals as its currency", () => {
  expect(priceText({ minorUnits: 499n, currency: "EUR" }, "en")).toBe("€4.99");
  expect(priceText({ minorUnits: 1999n, currency: "JPY" }, "en")).toBe("¥1,999");
  expect(priceText({ minorUnits: 1999n, currency: "KWD" }, "en")).toContain("1.999");
  expect(priceText({ minorUnits: 150_000n, currency: "BTC" }, "en")).toBe("0.0015 BTC");
});

test("a language suggests a territory", () => {
  expect(territoryOf("de-AT")).toBe("AT");
  expect(territoryOf("de")).toBe("DE");
  expect(territoryOf("no such language")).toBe("US");
});
