import { expect, test } from "vitest";

import { letterHeight, placeAt, textAt, type OverlayLook } from "./overlay";

const LOOK: OverlayLook = {
  text: "ada {time}",
  opacity: 0.4,
  size: 0.04,
  drifts: true,
  seconds: 10,
  contrastAware: true,
};

test("it stays over the picture wherever it moves", () => {
  for (const drifts of [true, false]) {
    for (let second = 0; second < 2000; second += 7) {
      const { across, down } = placeAt({ ...LOOK, drifts }, second);
      expect(Math.min(across, down)).toBeGreaterThanOrEqual(0);
      expect(Math.max(across, down)).toBeLessThanOrEqual(1);
    }
  }
});

test("it is elsewhere after its time, and stays or glides until then", () => {
  const jumping = { ...LOOK, drifts: false };
  expect(placeAt(jumping, 9.9)).toEqual(placeAt(jumping, 0));
  expect(placeAt(jumping, 10)).not.toEqual(placeAt(jumping, 0));
  expect(placeAt(LOOK, 1)).not.toEqual(placeAt(LOOK, 0));
});

test("the present moment stands for its name", () => {
  expect(textAt(LOOK, new Date("2026-11-28T21:04:59Z"))).toBe("ada 2026-11-28 21:04 UTC");
});

test("letters are a share of the stage's height, and can still be read on a phone", () => {
  expect(letterHeight(LOOK, 800)).toBeCloseTo(32);
  expect(letterHeight(LOOK, 200)).toBe(11);
});
