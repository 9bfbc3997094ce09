import type { Playback } from "@gen/reelmesh/policy/v1/policy_pb";
import { useEffect, useRef, type ReactElement, type RefObject } from "react";

import { ownRefusal, type Refusal } from "../api/refusal";
import type { Format } from "../app/routes";
import { Engine, type EngineState } from "./engine";
import { heartbeatUrl, tellTampered } from "./heartbeat";
import { Overlay } from "./overlay";
import { keepCaptions, keepPosition, keptCaptions, keptPosition, nearby } from "./playback";

interface Props {
  readonly playback: Playback;
  readonly format: Format;
  /** Element that goes fullscreen. */
  readonly stage: RefObject<HTMLElement | null>;
  readonly onState: (state: EngineState) => void;
  readonly onRefused: (refusal: Refusal) => void;
  readonly onStarted: (milliseconds: number) => void;
}

const MIME_TYPES: Readonly<Record<Format, string>> = {
  dash: "application/dash+xml",
  hls: "application/x-mpegurl",
};

/** Lays over the stage what the organisation wants to be seen; undefined for nothing. */
function overlayOf(playback: Playback, stage: HTMLElement, tampered: () => void): Overlay | undefined {
  const { overlay } = playback;
  if (overlay === undefined) return undefined;
  const { text, opacity, size, drifts, interval, contrastAware } = overlay;
  const look = { text, opacity, size, drifts, seconds: Number(interval?.seconds ?? 20), contrastAware };
  return Overlay.over({ stage, look, tampered });
}

/** Plays one playback. Give it another `key` to begin anew. */
export function Player({ playback, format, stage, ...events }: Props): ReactElement {
  const host = useRef<HTMLDivElement>(null);
  const latest = useRef(events);
  useEffect(() => {
    latest.current = events;
  });
  useEffect(() => {
    const frame = host.current;
    if (frame === null || stage.current === null) return undefined;
    // A fresh element for each player: the one before may still be closing.
    const element = document.createElement("div");
    element.className = "player-host";
    frame.append(element);
    const { origin } = window.location;
    const order = {
      host: element,
      stage: stage.current,
      url: nearby(format === "hls" ? playback.hlsUrl : playback.dashUrl, origin),
      mimeType: MIME_TYPES[format],
      licenceUrl: nearby(playback.licenceUrl, origin),
      posterUrl: nearby(playback.posterUrl, origin),
      thumbnailsUrl: nearby(playback.thumbnailsUrl, origin),
      title: playback.title,
      startAt: keptPosition(window.sessionStorage, playback.sessionId),
      captions: keptCaptions(window.localStorage),
      overlaid: playback.overlay !== undefined,
    };
    const engine = Engine.start(order, {
      state: (state) => {
        latest.current.onState(state);
      },
      refused: (refusal) => {
        latest.current.onRefused(refusal);
      },
      started: (milliseconds) => {
        latest.current.onStarted(milliseconds);
      },
      position: (seconds) => {
        keepPosition(window.sessionStorage, playback.sessionId, seconds);
      },
      captions: (language) => {
        keepCaptions(window.localStorage, language);
      },
    });
    const overlay = overlayOf(playback, stage.current, () => {
      void tellTampered(heartbeatUrl(order.licenceUrl));
      latest.current.onRefused(ownRefusal("OVERLAY_TAMPERED"));
    });
    return () => {
      overlay?.destroy();
      void engine.destroy().finally(() => {
        element.remove();
      });
    };
  }, [playback, format, stage]);
  return <div ref={host} className="player-frame" />;
}
