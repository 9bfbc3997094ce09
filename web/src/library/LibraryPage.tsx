import type { ReactElement } from "react";

import { Link } from "../app/navigation";
import { PageHead } from "../app/PageHead";
import { Button } from "../ui/Button";
import { plural } from "../ui/format";
import { Icon } from "../ui/icons";
import { RefusalPanel } from "../ui/RefusalPanel";
import { AssetCard } from "./AssetCard";
import { useAssets, type AssetList } from "./useAssets";

function lead({ assets, hasMore }: AssetList): string {
  if (assets === undefined) return "Loading…";
  if (assets.length === 0) return "Nothing here yet.";
  return hasMore ? `The newest ${plural(assets.length, "title")}` : plural(assets.length, "title");
}

function Empty(): ReactElement {
  return (
    <div className="empty" data-testid="empty">
      <Icon name="film" />
      <h2>Your library is empty</h2>
      <p>
        Upload a master file and Reelmesh encodes, encrypts and publishes it. You can watch it as soon as it is ready.
      </p>
      <Link href="/upload" className="button primary">
        <Icon name="upload" />
        Upload a video
      </Link>
    </div>
  );
}

/** What has come in, and how far it is. */
export function LibraryPage(): ReactElement {
  const list = useAssets();
  const { assets, refusal, hasMore, loading, loadMore, reload } = list;
  return (
    <>
      <PageHead
        title="Library"
        lead={lead(list)}
        actions={
          <Link href="/upload" className="button primary">
            <Icon name="upload" />
            Upload
          </Link>
        }
      />
      {refusal === null ? null : (
        <RefusalPanel
          refusal={refusal}
          actions={
            <Button icon="retry" onClick={reload}>
              Try again
            </Button>
          }
        />
      )}
      {assets?.length === 0 && refusal === null ? <Empty /> : null}
      {assets === undefined ? null : (
        <ul className="cards" aria-label="Assets" aria-busy={loading}>
          {assets.map((asset) => (
            <AssetCard key={asset.assetId} asset={asset} />
          ))}
        </ul>
      )}
      {hasMore ? (
        <p className="more">
          <Button disabled={loading} onClick={loadMore} data-testid="load-more">
            {loading ? "Loading…" : "Show more"}
          </Button>
        </p>
      ) : null}
    </>
  );
}
