import { create } from "@bufbuild/protobuf";
import { AssetSchema, Stage, StageState } from "@gen/reelmesh/assets/v1/assets_pb";
import { expect, test } from "vitest";

import { news } from "./news";
import type { Entry } from "./queue";

const ENTRY: Entry = {
  id: "1",
  batch: 1,
  state: "uploading",
  filename: "film.mp4",
  title: "Film",
  size: 1000,
  sent: 0,
  perSecond: undefined,
  secondsLeft: undefined,
  continuesAt: undefined,
  assetId: "",
  correlationId: "",
  asset: null,
  refusal: null,
  canRetry: false,
};

test("progress is said once a quarter", () => {
  expect(news({ ...ENTRY, sent: 100 }, { ...ENTRY, sent: 200 })).toEqual([]);
  expect(news({ ...ENTRY, sent: 200 }, { ...ENTRY, sent: 600 })).toEqual(["Film:", "50% uploaded."]);
});

test("a break and its end are said", () => {
  expect(news(ENTRY, { ...ENTRY, state: "waiting" })).toContain(
    "Connection lost. The upload goes on by itself when it is back.",
  );
  expect(news({ ...ENTRY, state: "waiting" }, ENTRY)).toContain("Connection is back, upload goes on.");
});

test("stages are said when they begin and end, not as they go on", () => {
  const at = (fraction: number, state = StageState.RUNNING): Entry => ({
    ...ENTRY,
    state: "processing",
    asset: create(AssetSchema, { stages: [{ stage: Stage.TRANSCODE, state, fraction }] }),
  });
  expect(news({ ...ENTRY, state: "processing" }, at(0))).toEqual(["Film:", "Encode: running."]);
  expect(news(at(0), at(0.5))).toEqual([]);
  expect(news(at(0.5), at(1, StageState.DONE))).toEqual(["Film:", "Encode: done."]);
});

test("an entry that has just come into the list says nothing", () => {
  expect(news(undefined, ENTRY)).toEqual([]);
});
