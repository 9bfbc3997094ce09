import { useId, type ReactElement } from "react";

import { Button } from "../ui/Button";
import { bytes, percent, remaining } from "../ui/format";
import { Icon } from "../ui/icons";
import { Meter } from "../ui/Meter";
import { RefusalPanel } from "../ui/RefusalPanel";
import { WatchButton } from "../watch/WatchButton";
import { queue } from "./current";
import type { Entry } from "./queue";
import { holdUp, shownStages } from "./stages";
import { Stages } from "./Stages";

const SENDING = new Set<Entry["state"]>(["queued", "uploading", "waiting", "paused", "checking"]);

/** What the transfer is doing, in words. */
function transferLine(entry: Entry): string {
  const { state, sent, size, perSecond, secondsLeft } = entry;
  const amount = `${bytes(sent)} of ${bytes(size)}`;
  switch (state) {
    case "queued":
      return "Waiting for its turn";
    case "paused":
      return `Paused at ${amount}`;
    case "waiting":
      return `${entry.refusal?.title ?? "Connection lost"}. Goes on by itself`;
    case "checking":
      return "All sent. The server is checking the file…";
    default: {
      const speed = perSecond === undefined ? "" : ` · ${bytes(perSecond)}/s`;
      const left = secondsLeft === undefined ? "" : ` · ${remaining(secondsLeft)} left`;
      return amount + speed + left;
    }
  }
}

function TransferView({ entry }: { entry: Entry }): ReactElement {
  const fraction = entry.sent / Math.max(1, entry.size);
  return (
    <div className="transfer">
      <Meter
        label={`Upload of ${entry.title}`}
        fraction={entry.state === "checking" ? undefined : fraction}
        tone={entry.state === "paused" || entry.state === "waiting" || entry.state === "queued" ? "still" : "accent"}
      />
      <p>
        <span data-testid="transfer-line">{transferLine(entry)}</span>
        <span className="figures">{percent(fraction)}</span>
      </p>
    </div>
  );
}

function StagedView({ entry }: { entry: Entry }): ReactElement {
  const id = useId();
  if (entry.continuesAt !== undefined) {
    return (
      <p className="note" data-testid="continues">
        <Icon name="retry" />
        An interrupted upload of this file will go on
        {entry.continuesAt > 0 ? ` at ${percent(entry.continuesAt / entry.size)}` : ""}, as “{entry.title}”.
      </p>
    );
  }
  return (
    <div className="title-field">
      <label htmlFor={id}>Title</label>
      <input
        id={id}
        type="text"
        maxLength={500}
        value={entry.title}
        data-testid="title-input"
        onChange={(event) => {
          queue.retitle(entry.id, event.target.value);
        }}
      />
    </div>
  );
}

function Controls({ entry }: { entry: Entry }): ReactElement {
  const { id, state, title, canRetry } = entry;
  const pausable = state === "uploading" || state === "waiting" || state === "queued";
  const resumable = state === "paused" || (state === "refused" && canRetry);
  const cancels = SENDING.has(state);
  return (
    <div className="controls">
      {pausable ? (
        <Button
          look="quiet"
          icon="pause"
          aria-label={`Pause ${title}`}
          data-testid="pause"
          onClick={() => {
            queue.pause(id);
          }}
        >
          Pause
        </Button>
      ) : null}
      {resumable ? (
        <Button
          look="quiet"
          icon={state === "paused" ? "play" : "retry"}
          aria-label={`Resume ${title}`}
          data-testid="resume"
          onClick={() => {
            queue.resume(id);
          }}
        >
          {state === "paused" ? "Resume" : "Try again"}
        </Button>
      ) : null}
      <Button
        look="quiet"
        icon="close"
        aria-label={cancels ? `Cancel ${title}` : `Remove ${title} from this list`}
        data-testid={cancels ? "cancel" : "remove"}
        onClick={() => {
          queue.remove(id);
        }}
      >
        {cancels ? "Cancel" : "Remove"}
      </Button>
    </div>
  );
}

/** One file on its way, from being chosen to being watched. */
export function EntryCard({ entry }: { entry: Entry }): ReactElement {
  const { state, refusal, asset } = entry;
  const sent = state === "staged" || state === "queued" ? undefined : entry.sent / Math.max(1, entry.size);
  const held = holdUp(asset);
  const showStages = state !== "staged" && (refusal === null || state !== "refused" || asset !== null);
  return (
    <li className="entry" data-testid="upload" data-state={state} data-asset-id={entry.assetId}>
      <div className="entry-head">
        <div>
          <h2>{entry.title.trim() === "" ? entry.filename : entry.title}</h2>
          <p className="facts">
            <span>{entry.filename}</span>
            <span>{bytes(entry.size)}</span>
          </p>
        </div>
        <Controls entry={entry} />
      </div>
      {state === "staged" ? <StagedView entry={entry} /> : null}
      {SENDING.has(state) ? <TransferView entry={entry} /> : null}
      {showStages ? <Stages stages={shownStages(asset, sent)} /> : null}
      {state === "processing" && refusal !== null ? (
        <p className="note">
          <Icon name="retry" />
          {refusal.title}. Looking again…
        </p>
      ) : null}
      {state === "processing" && refusal === null && held !== undefined ? (
        <p className="note" data-testid="held-up">
          {held}
        </p>
      ) : null}
      {state === "refused" && refusal !== null ? <RefusalPanel refusal={refusal} /> : null}
      {state === "ready" ? (
        <div className="entry-ready">
          <p>
            <Icon name="check" /> Encoded, encrypted and published.
          </p>
          <WatchButton assetId={entry.assetId} title={entry.title} />
        </div>
      ) : null}
    </li>
  );
}
