import { useEffect, useRef } from "react";

import { pause } from "../api/backoff";
import type { Refusal } from "../api/refusal";
import { heartbeatUrl, NO_PLACE, sendHeartbeats } from "./heartbeat";
import { keptPlayback, nearby } from "./playback";
import type { PlaybackHandle, Watching } from "./usePlayback";

function urlOf(watching: Watching, assetId: string): string {
  if (watching.step === "playing") return heartbeatUrl(nearby(watching.playback.licenceUrl, window.location.origin));
  if (!lacksPlace(watching)) return "";
  const kept = keptPlayback(window.sessionStorage, assetId, new Date());
  return kept === null ? "" : heartbeatUrl(nearby(kept.licenceUrl, window.location.origin));
}

function lacksPlace(watching: Watching): boolean {
  return watching.step === "refused" && watching.refusal.reason === NO_PLACE;
}

/**
 * Keeps the place of a playback that is open, playing or paused, and gets it back: one that lost it goes on by itself as soon as another
 * screen has stopped.
 */
export function useHeartbeats(handle: PlaybackHandle, assetId: string, ended: boolean): void {
  const { watching } = handle;
  const latest = useRef(handle);
  useEffect(() => {
    latest.current = handle;
  });
  const url = watching.step === "playing" && ended ? "" : urlOf(watching, assetId);
  useEffect(() => {
    if (url === "") return undefined;
    const gone = new AbortController();
    const order = {
      url,
      ask: (where: string, init: RequestInit): Promise<Response> => fetch(where, init),
      pause,
      placed: (): void => {
        if (lacksPlace(latest.current.watching)) latest.current.again();
      },
      refused: (refusal: Refusal): void => {
        latest.current.refuse(refusal);
      },
    };
    void sendHeartbeats(order, gone.signal);
    return () => {
      gone.abort();
    };
  }, [url]);
}
