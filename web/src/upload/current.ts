import { useSyncExternalStore } from "react";

import { assets, uploads } from "../api/clients";
import { credential } from "../session/current";
import { UploadQueue, type Entry } from "./queue";

/** The queue of this tab. */
export const queue = new UploadQueue({
  assets,
  uploads,
  credential,
  memory: window.sessionStorage,
});

window.addEventListener("beforeunload", (event) => {
  if (queue.busy) event.preventDefault();
});

/** The entries of the queue, for components. */
export function useEntries(): readonly Entry[] {
  return useSyncExternalStore(queue.subscribe, queue.entries);
}
