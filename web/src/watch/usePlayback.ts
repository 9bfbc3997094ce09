import type { Playback } from "@gen/reelmesh/policy/v1/policy_pb";
import { useCallback, useEffect, useState } from "react";

import { redemption } from "../api/clients";
import { ownRefusal, refusalOfCall, type Refusal } from "../api/refusal";
import { forgetPlayback, keepPlayback, keptPlayback, redeem } from "./playback";

/** Where a watch page stands. */
export type Watching =
  | { readonly step: "redeeming" }
  /** There is nothing to play with, neither a code nor a kept playback. */
  | { readonly step: "without" }
  | { readonly step: "refused"; readonly refusal: Refusal }
  | { readonly step: "playing"; readonly playback: Playback; readonly attempt: number };

// After these a kept playback is worthless: what helps is a new one.
const OVER = new Set([
  "TICKET_MISSING",
  "TICKET_INVALID",
  "TICKET_EXPIRED",
  "TICKET_OTHER_PACKAGE",
  "SESSION_REVOKED",
  "ASSET_WITHDRAWN",
]);

/** What a watch page can do. */
export interface PlaybackHandle {
  readonly watching: Watching;
  /** The player was refused. */
  readonly refuse: (refusal: Refusal) => void;
  /** Plays the same again, from where it stopped. */
  readonly again: () => void;
}

function begin(assetId: string, code: string): Watching {
  if (code !== "") return { step: "redeeming" };
  const kept = keptPlayback(window.sessionStorage, assetId, new Date());
  return kept === null ? { step: "without" } : { step: "playing", playback: kept, attempt: 0 };
}

/** Finds what to play: by the one-time code, or what an earlier load of this page has kept. */
export function usePlayback(assetId: string, code: string): PlaybackHandle {
  const [watching, setWatching] = useState<Watching>(() => begin(assetId, code));

  useEffect(() => {
    if (code === "") return undefined;
    let gone = false;
    redeem(redemption, code).then(
      (playback) => {
        keepPlayback(window.sessionStorage, playback);
        if (!gone) setWatching({ step: "playing", playback, attempt: 0 });
      },
      (error: unknown) => {
        if (gone) return;
        // The browser may bring a used link back (history, session restore): what it had opened goes on.
        const kept = keptPlayback(window.sessionStorage, assetId, new Date());
        if (kept === null) setWatching({ step: "refused", refusal: refusalOfCall(error) });
        else setWatching({ step: "playing", playback: kept, attempt: 0 });
      },
    );
    return () => {
      gone = true;
    };
  }, [assetId, code]);

  const refuse = useCallback(
    (refusal: Refusal) => {
      if (OVER.has(refusal.reason)) forgetPlayback(window.sessionStorage, assetId);
      setWatching({ step: "refused", refusal });
    },
    [assetId],
  );
  const again = useCallback(() => {
    const kept = keptPlayback(window.sessionStorage, assetId, new Date());
    setWatching((before) => {
      if (kept === null) return { step: "refused", refusal: ownRefusal("PLAYBACK_NEEDED") };
      return { step: "playing", playback: kept, attempt: before.step === "playing" ? before.attempt + 1 : 0 };
    });
  }, [assetId]);
  return { watching, refuse, again };
}
