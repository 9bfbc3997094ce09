import { create } from "@bufbuild/protobuf";
import { AssetSchema, AssetState, Stage, StageState } from "@gen/reelmesh/assets/v1/assets_pb";
import { expect, test } from "vitest";

import { holdUp, shownStages } from "./stages";

test("before the asset exists the upload runs and the rest waits", () => {
  const stages = shownStages(null, 0.5);
  expect(stages.map(({ stage, state, fraction }) => [stage, state, fraction])).toEqual([
    ["UPLOAD", "RUNNING", 0.5],
    ["SCREEN", "PENDING", 0],
    ["PROBE", "PENDING", 0],
    ["TRANSCODE", "PENDING", 0],
    ["PACKAGE", "PENDING", 0],
  ]);
});

test("the server's word counts once there is one, in the order of the pipeline", () => {
  const asset = create(AssetSchema, {
    stages: [
      { stage: Stage.TRANSCODE, state: StageState.RUNNING, fraction: 0.25 },
      { stage: Stage.UPLOAD, state: StageState.DONE },
      { stage: Stage.SCREEN, state: StageState.DONE, fraction: 1 },
      { stage: Stage.PROBE, state: StageState.DONE, fraction: 0.9 },
    ],
  });
  expect(shownStages(asset, 1).map(({ state, fraction }) => [state, fraction])).toEqual([
    ["DONE", 1],
    ["DONE", 1],
    ["DONE", 1],
    ["RUNNING", 0.25],
    ["PENDING", 0],
  ]);
});

test("whoever uploaded is told that it is held, or what it waits for, and nothing of why", () => {
  const stages = [{ stage: Stage.SCREEN, state: StageState.WAITING }];
  expect(holdUp(create(AssetSchema, { state: AssetState.HELD, stages }))).toMatch(/^Held for review\./);
  expect(holdUp(create(AssetSchema, { state: AssetState.PROCESSING, stages }))).toMatch(/cannot be reached now\./);
  expect(holdUp(create(AssetSchema, { state: AssetState.PROCESSING }))).toBeUndefined();
  expect(holdUp(null)).toBeUndefined();
});
