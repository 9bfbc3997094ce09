import { useCallback, useEffect, useRef, useState } from "react";
import { AssetState, type Asset } from "@gen/reelmesh/assets/v1/assets_pb";

import { assets as client } from "../api/clients";
import { refusalOfCall, type Refusal } from "../api/refusal";

const PAGE = 24;
const MOST = 200;
const REFRESH_MS = 4000;

/** The list of assets as it is known. */
export interface AssetList {
  /** Undefined until the first page is there. */
  readonly assets: readonly Asset[] | undefined;
  readonly refusal: Refusal | null;
  readonly hasMore: boolean;
  readonly loading: boolean;
  readonly loadMore: () => void;
  readonly reload: () => void;
}

/** Lists the organisation's assets, newest first, and keeps the list fresh while something in it is on its way. */
export function useAssets(): AssetList {
  const [assets, setAssets] = useState<readonly Asset[]>();
  const [refusal, setRefusal] = useState<Refusal | null>(null);
  const [next, setNext] = useState("");
  const [loading, setLoading] = useState(false);
  const shown = useRef(0);

  const fetchPage = useCallback(async (pageToken: string, signal?: AbortSignal): Promise<void> => {
    setLoading(true);
    const pageSize = pageToken === "" ? Math.min(MOST, Math.max(PAGE, shown.current)) : PAGE;
    try {
      const page = await client.listAssets({ pageSize, pageToken }, signal === undefined ? {} : { signal });
      setAssets((before) => {
        const all = pageToken === "" ? page.assets : [...(before ?? []), ...page.assets];
        shown.current = all.length;
        return all;
      });
      setNext(page.nextPageToken);
      setRefusal(null);
    } catch (error) {
      if (signal?.aborted !== true) setRefusal(refusalOfCall(error));
    } finally {
      if (signal?.aborted !== true) setLoading(false);
    }
  }, []);

  useEffect(() => {
    const gone = new AbortController();
    void Promise.resolve().then(() => fetchPage("", gone.signal));
    return () => {
      gone.abort();
    };
  }, [fetchPage]);

  const moving = assets?.some((asset) => asset.state === AssetState.PROCESSING) ?? false;
  useEffect(() => {
    if (!moving) return undefined;
    const gone = new AbortController();
    const timer = window.setInterval(() => {
      if (document.visibilityState === "visible") void fetchPage("", gone.signal);
    }, REFRESH_MS);
    return () => {
      window.clearInterval(timer);
      gone.abort();
    };
  }, [moving, fetchPage]);

  return {
    assets,
    refusal,
    hasMore: next !== "",
    loading,
    loadMore: () => void fetchPage(next),
    reload: () => void fetchPage(""),
  };
}
