// What a player needs, and where it is kept so that a reload goes on. The URLs carry a ticket: they stay in this tab.

import { fromJsonString, toJsonString } from "@bufbuild/protobuf";
import { timestampDate } from "@bufbuild/protobuf/wkt";
import type { Client } from "@connectrpc/connect";
import { PlaybackSchema, type Playback } from "@gen/reelmesh/policy/v1/policy_pb";
import type { PolicyService } from "@gen/reelmesh/policy/v1/policy_service_pb";

const slotOf = (assetId: string): string => `reelmesh.playback.${assetId}`;
const positionSlotOf = (sessionId: string): string => `reelmesh.position.${sessionId}`;

/** Keeps a playback for a reload of the page. */
export function keepPlayback(storage: Storage, playback: Playback): void {
  storage.setItem(slotOf(playback.assetId), toJsonString(PlaybackSchema, playback));
}

/** The kept playback of an asset; null when there is none, or its time is over. */
export function keptPlayback(storage: Storage, assetId: string, now: Date): Playback | null {
  const kept = storage.getItem(slotOf(assetId));
  if (kept === null) return null;
  try {
    const playback = fromJsonString(PlaybackSchema, kept, { ignoreUnknownFields: true });
    const expires = playback.expireTime === undefined ? undefined : timestampDate(playback.expireTime);
    if (expires === undefined || expires > now) return playback;
  } catch {
    // Written by another version of this page: as good as nothing.
  }
  storage.removeItem(slotOf(assetId));
  return null;
}

/** Forgets a playback that was refused for good. */
export function forgetPlayback(storage: Storage, assetId: string): void {
  storage.removeItem(slotOf(assetId));
}

/** Keeps how far a session has come, in seconds. */
export function keepPosition(storage: Storage, sessionId: string, seconds: number): void {
  storage.setItem(positionSlotOf(sessionId), seconds.toFixed(1));
}

/** How far a session had come, in seconds; 0 when unknown. */
export function keptPosition(storage: Storage, sessionId: string): number {
  const seconds = Number(storage.getItem(positionSlotOf(sessionId)) ?? 0);
  return Number.isFinite(seconds) && seconds > 0 ? seconds : 0;
}

const CAPTIONS_SLOT = "reelmesh.captions";

/** Keeps the language of the subtitles that a viewer turned on; empty when they were turned off. */
export function keepCaptions(storage: Storage, language: string): void {
  storage.setItem(CAPTIONS_SLOT, language);
}

/** The language of the subtitles that a viewer had last; empty for none. */
export function keptCaptions(storage: Storage): string {
  return storage.getItem(CAPTIONS_SLOT) ?? "";
}

const LOOPBACK = new Set(["127.0.0.1", "localhost", "[::1]"]);

/** The same URL on this page's own origin when both are names of this very machine, so that the browser sees one origin. */
export function nearby(url: string, origin: string): string {
  if (url === "") return "";
  const here = new URL(origin);
  const target = new URL(url, origin);
  const same = target.protocol === here.protocol && target.port === here.port;
  if (same && LOOPBACK.has(target.hostname) && LOOPBACK.has(here.hostname)) target.host = here.host;
  return target.href;
}

const redemptions = new Map<string, Promise<Playback>>();

/** Exchanges a one-time code for a playback. A code works once, so a second call returns the first one's answer. */
export function redeem(client: Client<typeof PolicyService>, code: string): Promise<Playback> {
  const running = redemptions.get(code);
  if (running !== undefined) return running;
  const asked = client.redeemPlaybackCode({ code }).then(({ playback }) => {
    if (playback === undefined) throw new Error("the answer holds no playback");
    return playback;
  });
  redemptions.set(code, asked);
  return asked;
}
