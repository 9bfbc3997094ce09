import { timestampDate } from "@bufbuild/protobuf/wkt";
import { AssetState, StageState, type Asset } from "@gen/reelmesh/assets/v1/assets_pb";
import type { ReactElement } from "react";

import { wordsOf } from "../api/words";
import { ago, percent, timecode } from "../ui/format";
import { Icon } from "../ui/icons";
import { Meter } from "../ui/Meter";
import { ASSET_STATE_NAMES, STAGE_NAMES, holdUp } from "../upload/stages";
import { WatchButton } from "../watch/WatchButton";
import { hueOf } from "./hue";

function Progress({ asset }: { asset: Asset }): ReactElement {
  const running = asset.stages.find((stage) => stage.state === StageState.RUNNING);
  const name = running === undefined ? "Waiting" : STAGE_NAMES[running.stage];
  return (
    <div className="card-progress">
      <span>
        {name}
        {running === undefined ? null : <span className="figures">{percent(running.fraction)}</span>}
      </span>
      <Meter label={`${asset.title}: ${name}`} fraction={running?.fraction} />
    </div>
  );
}

function Failure({ asset }: { asset: Asset }): ReactElement {
  const words = wordsOf(asset.failure?.reason ?? "") ?? wordsOf("UNKNOWN");
  return (
    <div className="card-failure" data-testid="failure" data-reason={asset.failure?.reason}>
      <strong>{words?.title}</strong>
      <span>{asset.failure?.message === "" ? words?.advice : asset.failure?.message}</span>
    </div>
  );
}

/** Length, size and age of an asset, as far as they are known. */
function Facts({ asset }: { asset: Asset }): ReactElement {
  const { media, createTime } = asset;
  return (
    <p className="facts">
      {media?.duration === undefined ? null : <span>{timecode(Number(media.duration.seconds))}</span>}
      {media === undefined || media.height === 0 ? null : (
        <span>
          {media.width} × {media.height}
        </span>
      )}
      {media === undefined || media.dynamicRange === "" || media.dynamicRange === "SDR" ? null : (
        <span>{media.dynamicRange.replace("_", " ")}</span>
      )}
      {createTime === undefined ? null : <span>{ago(timestampDate(createTime))}</span>}
    </p>
  );
}

/** One asset in the library. */
export function AssetCard({ asset }: { asset: Asset }): ReactElement {
  const state = AssetState[asset.state];
  const held = holdUp(asset);
  return (
    <li className="card" data-testid="asset" data-asset-id={asset.assetId} data-state={state}>
      <div className="plate" style={{ "--hue": hueOf(asset.assetId) }} aria-hidden="true">
        <Icon name="film" />
        <span className={`chip ${state.toLowerCase()}`}>{ASSET_STATE_NAMES[asset.state]}</span>
      </div>
      <div className="card-body">
        <h2>{asset.title}</h2>
        <span className="visually-hidden">{ASSET_STATE_NAMES[asset.state]}</span>
        <Facts asset={asset} />
        {asset.state === AssetState.PROCESSING ? <Progress asset={asset} /> : null}
        {held === undefined ? null : (
          <p className="note" data-testid="held-up">
            {held}
          </p>
        )}
        {asset.state === AssetState.FAILED ? <Failure asset={asset} /> : null}
        {asset.state === AssetState.READY ? (
          <WatchButton assetId={asset.assetId} title={asset.title} look="plain" />
        ) : null}
      </div>
    </li>
  );
}
