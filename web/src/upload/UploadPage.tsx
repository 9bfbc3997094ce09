import { useEffect, useRef, type ReactElement } from "react";

import { announce } from "../app/announcer";
import { PageHead } from "../app/PageHead";
import { Button } from "../ui/Button";
import { plural } from "../ui/format";
import { queue, useEntries } from "./current";
import { DropZone } from "./DropZone";
import { EntryCard } from "./EntryCard";
import { news } from "./news";
import type { Entry, Staged } from "./queue";
import { interruptedUploadOf } from "./transfer";
import { receivedOf, Unfinished } from "./Unfinished";

async function staged(file: File): Promise<Staged> {
  const previous = await interruptedUploadOf(file);
  if (previous === null || queue.owns(previous.uploadUrl)) return { file, previous: null, received: 0 };
  const received = await receivedOf(previous);
  return received === null ? { file, previous: null, received: 0 } : { file, previous, received };
}

async function stage(files: readonly File[]): Promise<void> {
  queue.stage(await Promise.all(files.map(staged)));
}

/** Says aloud what happens to the entries, at a rate that can be listened to. */
function useAnnouncements(entries: readonly Entry[]): void {
  const before = useRef(new Map<string, Entry>());
  useEffect(() => {
    for (const entry of entries) for (const sentence of news(before.current.get(entry.id), entry)) announce(sentence);
    before.current = new Map(entries.map((entry) => [entry.id, entry]));
  }, [entries]);
}

/** Takes masters in and shows them on their way until they can be watched. */
export function UploadPage(): ReactElement {
  const entries = useEntries();
  const input = useRef<HTMLInputElement>(null);
  useAnnouncements(entries);
  const waiting = entries.filter((entry) => entry.state === "staged").length;
  return (
    <div className="upload-page">
      <PageHead title="Upload" lead="From master file to protected stream, in one go." />
      <DropZone input={input} onFiles={(files) => void stage(files)} />
      {waiting === 0 ? null : (
        <div className="start" data-testid="start-bar">
          <p>{plural(waiting, "file")} ready to upload</p>
          <Button
            look="primary"
            icon="upload"
            data-testid="start-upload"
            onClick={() => {
              queue.sendAll();
            }}
          >
            Start upload
          </Button>
        </div>
      )}
      <ul className="entries" aria-label="Files">
        {entries.map((entry) => (
          <EntryCard key={entry.id} entry={entry} />
        ))}
      </ul>
      <Unfinished choose={() => input.current?.click()} />
    </div>
  );
}
