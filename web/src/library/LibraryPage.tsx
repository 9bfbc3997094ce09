import type { ReactElement } from "react";

import { Link } from "../app/navigation";
import { NotForYou } from "../app/NotForYou";
import { PageHead } from "../app/PageHead";
import { useSignedIn } from "../session/current";
import { may } from "../session/signedIn";
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
  const signedIn = useSignedIn();
  const list = useAssets();
  const { assets, refusal, hasMore, loading, loadMore, reload } = list;
  if (signedIn.who === "person" && refusal?.reason === "PERMISSION_MISSING") {
    return (
      <>
        <PageHead title="Library" />
        <NotForYou title="The library is not open to you" testId="no-library">
          You are signed in, but your roles here let you watch, not browse. Open the link of a video that you were
          given, or ask an administrator of your organisation for a role that sees the library.
        </NotForYou>
      </>
    );
  }
  return (
    <>
      <PageHead
        title="Library"
        lead={lead(list)}
        actions={
          may(signedIn, "uploads.write") ? (
            <Link href="/upload" className="button primary">
              <Icon name="upload" />
              Upload
            </Link>
          ) : undefined
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
