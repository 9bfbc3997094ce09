import { useState, type ReactElement } from "react";

import { refusalOfCall, type Refusal } from "../api/refusal";
import { Offers } from "../buy/Offers";
import { Button } from "../ui/Button";
import { RefusalPanel } from "../ui/RefusalPanel";
import { startPlayback } from "./startPlayback";

interface Props {
  readonly assetId: string;
  /** Title of the asset, to tell one button from another. */
  readonly title: string;
  readonly look?: "primary" | "plain";
}

/** Starts playback of an asset that is ready. */
export function WatchButton({ assetId, title, look = "primary" }: Props): ReactElement {
  const [opening, setOpening] = useState(false);
  const [refused, setRefused] = useState<Refusal | null>(null);
  const open = async (): Promise<void> => {
    setOpening(true);
    setRefused(null);
    try {
      await startPlayback(assetId);
    } catch (error) {
      setRefused(refusalOfCall(error));
      setOpening(false);
    }
  };
  return (
    <>
      <Button
        look={look}
        icon="play"
        disabled={opening}
        aria-label={`Watch ${title}`}
        data-testid="watch"
        onClick={() => void open()}
      >
        {opening ? "Opening…" : "Watch"}
      </Button>
      {refused === null ? null : (
        <RefusalPanel
          refusal={refused}
          actions={refused.reason === "ENTITLEMENT_REQUIRED" ? <Offers assetId={assetId} /> : undefined}
        />
      )}
    </>
  );
}
