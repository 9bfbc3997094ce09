import { AssetState, Stage, StageState, type Asset } from "@gen/reelmesh/assets/v1/assets_pb";

/** What each stage is called. */
export const STAGE_NAMES: Readonly<Record<Stage, string>> = {
  [Stage.UNSPECIFIED]: "Unknown",
  [Stage.UPLOAD]: "Upload",
  [Stage.SCREEN]: "Check",
  [Stage.PROBE]: "Inspect",
  [Stage.TRANSCODE]: "Encode",
  [Stage.PACKAGE]: "Protect",
};

/** How a stage stands. */
export const STAGE_STATE_NAMES: Readonly<Record<StageState, string>> = {
  [StageState.UNSPECIFIED]: "Unknown",
  [StageState.PENDING]: "Waiting",
  [StageState.RUNNING]: "Running",
  [StageState.DONE]: "Done",
  [StageState.FAILED]: "Failed",
  [StageState.WAITING]: "On hold",
};

/** How an asset stands as a whole. */
export const ASSET_STATE_NAMES: Readonly<Record<AssetState, string>> = {
  [AssetState.UNSPECIFIED]: "Unknown",
  [AssetState.PROCESSING]: "Processing",
  [AssetState.READY]: "Ready",
  [AssetState.FAILED]: "Failed",
  [AssetState.DELETED]: "Deleted",
  [AssetState.WITHHELD]: "Withheld",
  [AssetState.HELD]: "Held for review",
  [AssetState.KEPT]: "Kept as evidence",
};

/** Why an asset does not go on, in a sentence; undefined when it does. What a check found is not told here. */
export function holdUp(asset: Asset | null): string | undefined {
  if (asset?.state === AssetState.HELD) return "Held for review. If it is released, it goes on by itself.";
  const waits = asset?.stages.some((stage) => stage.stage === Stage.SCREEN && stage.state === StageState.WAITING);
  if (waits === true && asset?.state === AssetState.PROCESSING)
    return "The scanner that checks uploads cannot be reached now. The film goes on by itself when it is back.";
  return undefined;
}

/** One stage, ready to be shown. */
export interface ShownStage {
  /** Name of the stage in the contract, such as `TRANSCODE`. */
  readonly stage: string;
  /** Name of its state in the contract, such as `RUNNING`. */
  readonly state: string;
  readonly title: string;
  readonly stateTitle: string;
  /** Share that is done, 0 to 1. */
  readonly fraction: number;
}

const ORDER = [Stage.UPLOAD, Stage.SCREEN, Stage.PROBE, Stage.TRANSCODE, Stage.PACKAGE] as const;

function shown(stage: Stage, state: StageState, fraction: number): ShownStage {
  return {
    stage: Stage[stage],
    state: StageState[state],
    title: STAGE_NAMES[stage],
    stateTitle: STAGE_STATE_NAMES[state],
    fraction: state === StageState.DONE ? 1 : fraction,
  };
}

/**
 * The stages of the pipeline in their order. Before the asset exists only the upload has begun; `uploaded` is the share of the file
 * that was sent, or undefined when it is not being sent.
 */
export function shownStages(asset: Asset | null, uploaded: number | undefined): readonly ShownStage[] {
  return ORDER.map((stage) => {
    const found = asset?.stages.find((progress) => progress.stage === stage);
    if (found !== undefined) return shown(stage, found.state, found.fraction);
    if (stage !== Stage.UPLOAD || uploaded === undefined) return shown(stage, StageState.PENDING, 0);
    return shown(stage, StageState.RUNNING, uploaded);
  });
}
