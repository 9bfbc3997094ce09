import { UploadState } from "@gen/reelmesh/upload/v1/upload_pb";
import { useCallback, useEffect, useState, type ReactElement } from "react";
import type { PreviousUpload } from "tus-js-client";

import { uploads as client } from "../api/clients";
import { refusalOfCall } from "../api/refusal";
import { credential } from "../session/current";
import { Button } from "../ui/Button";
import { ago, bytes, percent } from "../ui/format";
import { Meter } from "../ui/Meter";
import { queue, useEntries } from "./current";
import { discardUpload, forgetUpload, unfinishedUploads, uploadIdOf } from "./transfer";

interface Found {
  readonly previous: PreviousUpload;
  readonly received: number;
}

/** Asks the server how far an upload of an earlier visit came; null when it cannot be continued any more. */
export async function receivedOf(previous: PreviousUpload): Promise<number | null> {
  try {
    const { upload } = await client.getUpload({ uploadId: uploadIdOf(previous.uploadUrl ?? "") });
    return upload?.state === UploadState.RECEIVING ? Number(upload.receivedBytes) : null;
  } catch (error) {
    return refusalOfCall(error).kind === "final" ? null : 0;
  }
}

async function findUnfinished(): Promise<Found[]> {
  const found: Found[] = [];
  for (const previous of await unfinishedUploads()) {
    if (queue.owns(previous.uploadUrl)) continue;
    const received = await receivedOf(previous);
    if (received === null) await forgetUpload(previous);
    else found.push({ previous, received });
  }
  return found;
}

/** Uploads that an earlier visit left unfinished. The browser cannot reopen files by itself: people choose them once more. */
export function Unfinished({ choose }: { choose: () => void }): ReactElement | null {
  const [found, setFound] = useState<readonly Found[]>([]);
  const look = useCallback(() => void findUnfinished().then(setFound), []);
  useEffect(look, [look]);
  useEntries(); // staging a file takes its upload off this list
  const open = found.filter(({ previous }) => !queue.owns(previous.uploadUrl));
  if (open.length === 0) return null;
  return (
    <section className="unfinished" aria-labelledby="unfinished-title">
      <h2 id="unfinished-title">Unfinished uploads</h2>
      <p className="help">Choose the same file again and it goes on where it stopped.</p>
      <ul>
        {open.map(({ previous, received }) => {
          const name = previous.metadata.filename ?? "";
          const size = previous.size ?? 0;
          return (
            <li key={previous.urlStorageKey} className="entry" data-testid="unfinished" data-received={received}>
              <div className="entry-head">
                <div>
                  <h3>{name}</h3>
                  <p className="facts">
                    <span>
                      {bytes(received)} of {bytes(size)}
                    </span>
                    <span>started {ago(new Date(previous.creationTime))}</span>
                  </p>
                </div>
                <div className="controls">
                  <Button icon="add" onClick={choose}>
                    Choose file
                  </Button>
                  <Button
                    look="quiet"
                    icon="close"
                    aria-label={`Discard the unfinished upload of ${name}`}
                    data-testid="discard"
                    onClick={() => void discardUpload(previous, credential).then(look)}
                  >
                    Discard
                  </Button>
                </div>
              </div>
              <div className="transfer">
                <Meter label={`Received of ${name}`} fraction={received / Math.max(1, size)} tone="still" />
                <p>
                  <span>Interrupted</span>
                  <span className="figures">{percent(received / Math.max(1, size))}</span>
                </p>
              </div>
            </li>
          );
        })}
      </ul>
    </section>
  );
}
