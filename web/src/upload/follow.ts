import type { Client } from "@connectrpc/connect";
import { AssetState, type Asset } from "@gen/reelmesh/assets/v1/assets_pb";
import type { AssetsService } from "@gen/reelmesh/assets/v1/assets_service_pb";

import { backoffAfter, pause } from "../api/backoff";
import { refusalOfCall, type Refusal } from "../api/refusal";

/** What a follower of an asset learns. */
export type Followed =
  | { readonly kind: "asset"; readonly asset: Asset }
  /** The stream broke; it is being opened again. */
  | { readonly kind: "reconnecting"; readonly refusal: Refusal }
  /** There is no point in trying again. */
  | { readonly kind: "refused"; readonly refusal: Refusal };

const FINAL: ReadonlySet<AssetState> = new Set([
  AssetState.READY,
  AssetState.WITHHELD,
  AssetState.KEPT,
  AssetState.FAILED,
  AssetState.DELETED,
]);
// An asset is made a moment after its upload is committed; a mesh that is recovering can take longer than one call waits.
const NOT_FOUND_PATIENCE = 4;

/** Whether nothing more happens to an asset by itself. */
export function isFinal(state: AssetState): boolean {
  return FINAL.has(state);
}

/**
 * Follows an asset until it is ready, withheld, failed or deleted, through broken connections and restarts.
 * Ends quietly when the signal fires.
 */
export async function* followAsset(
  client: Client<typeof AssetsService>,
  assetId: string,
  signal: AbortSignal,
  wait: (milliseconds: number, signal?: AbortSignal) => Promise<void> = pause,
): AsyncGenerator<Followed> {
  const stopped = (): boolean => signal.aborted;
  let attempt = 0;
  let notFound = 0;
  while (!stopped()) {
    let retryAfter: number | undefined;
    try {
      for await (const { asset } of client.watchAsset({ assetId, waitForCommit: true }, { signal })) {
        attempt = 0;
        if (asset === undefined) continue;
        yield { kind: "asset", asset };
        if (FINAL.has(asset.state)) return;
      }
    } catch (error) {
      if (stopped()) return;
      const refusal = refusalOfCall(error);
      if (refusal.reason === "ASSET_NOT_FOUND") notFound += 1;
      const hopeless =
        refusal.reason === "ASSET_NOT_FOUND"
          ? notFound >= NOT_FOUND_PATIENCE
          : refusal.kind !== "transient" && refusal.reason !== "UNKNOWN";
      if (hopeless) {
        yield { kind: "refused", refusal };
        return;
      }
      retryAfter = refusal.retryAfter;
      yield { kind: "reconnecting", refusal };
    }
    await wait(backoffAfter(attempt, retryAfter), signal);
    attempt += 1;
  }
}
