import { percent } from "../ui/format";
import type { Entry } from "./queue";
import { shownStages, type ShownStage } from "./stages";

function uploadNews(before: Entry, after: Entry): string | undefined {
  if (before.state === after.state) {
    const quarter = (entry: Entry): number => Math.floor((4 * entry.sent) / Math.max(1, entry.size));
    if (after.state !== "uploading" || quarter(after) <= quarter(before)) return undefined;
    return `${percent(quarter(after) / 4)} uploaded.`;
  }
  switch (after.state) {
    case "staged":
    case "queued":
    case "checking":
      return undefined;
    case "uploading":
      return before.state === "waiting" ? "Connection is back, upload goes on." : "Upload started.";
    case "waiting":
      return "Connection lost. The upload goes on by itself when it is back.";
    case "paused":
      return "Paused.";
    case "processing":
      return "Upload complete, processing.";
    case "ready":
      return "Ready to watch.";
    case "refused":
      return undefined; // its own alert says it
  }
}

function stageNews(before: readonly ShownStage[], after: readonly ShownStage[]): string[] {
  return after.flatMap((stage, index) => {
    if (stage.stage === "UPLOAD" || before[index]?.state === stage.state || stage.state === "PENDING") return [];
    return stage.state === "FAILED" ? [] : [`${stage.title}: ${stage.stateTitle.toLowerCase()}.`];
  });
}

/** What has happened to an entry that is worth saying aloud, in full sentences. */
export function news(before: Entry | undefined, after: Entry): string[] {
  if (before === undefined) return [];
  const sentence = uploadNews(before, after);
  const stages = after.asset === null ? [] : stageNews(shownStages(before.asset, 1), shownStages(after.asset, 1));
  const said = [...(sentence === undefined ? [] : [sentence]), ...stages];
  return said.length === 0 ? [] : [`${after.title}:`, ...said];
}
