import { expect, test } from "vitest";

import { Rate } from "./rate";

test("a steady transfer is told at its speed, and when it will end", () => {
  const rate = new Rate();
  for (let second = 0; second <= 10; second += 1) rate.note(second * 1000, second * 1000);
  expect(rate.perSecond).toBeCloseTo(1000);
  expect(rate.secondsLeft(20_000)).toBeCloseTo(10);
});

test("nothing is claimed before there is something to tell from", () => {
  const rate = new Rate();
  expect(rate.perSecond).toBeUndefined();
  rate.note(0, 0);
  rate.note(500, 100);
  expect(rate.perSecond).toBeUndefined();
  expect(rate.secondsLeft(1000)).toBeUndefined();
});

test("a resumed transfer does not count what the server had before as speed", () => {
  const rate = new Rate();
  rate.note(900_000_000, 5000);
  rate.note(900_001_000, 6000);
  expect(rate.perSecond).toBeCloseTo(1000);
});

test("the speed follows a change within a few seconds, without jumping", () => {
  const rate = new Rate();
  let sent = 0;
  for (let second = 0; second <= 20; second += 1) rate.note((sent += 1000), second * 1000);
  rate.note((sent += 5000), 21_000);
  expect(rate.perSecond).toBeGreaterThan(1500);
  expect(rate.perSecond).toBeLessThan(3000);
  for (let second = 22; second <= 35; second += 1) rate.note((sent += 5000), second * 1000);
  expect(rate.perSecond).toBeGreaterThan(4700);
});

test("a transfer that stands still has no end in sight", () => {
  const rate = new Rate();
  rate.note(0, 0);
  rate.note(0, 1000);
  expect(rate.secondsLeft(1000)).toBeUndefined();
});
