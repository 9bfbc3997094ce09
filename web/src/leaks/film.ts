// The film that was found, on its way to the case that it proves.

import { pause } from "../api/backoff";
import { Refused, refusalOfCall } from "../api/refusal";
import { leaks } from "../api/clients";
import { credential } from "../session/current";
import { Transfer } from "../upload/transfer";

const PATIENCE_MS = 60_000;
const PAUSE_MS = 400;

/**
 * Sends a film as evidence, which nobody will ever play. Returns its asset's id.
 *
 * @throws Refused when the server does not take it.
 */
export function sentFilm(file: File, progress: (share: number) => void): Promise<string> {
  return new Promise((resolve, reject) => {
    let asset = "";
    const order = { file, title: `Suspicious: ${file.name}`, credential, previous: null, purpose: "evidence" } as const;
    const transfer = new Transfer(order, {
      progress: (sent, total) => {
        progress(total === 0 ? 1 : sent / total);
      },
      named: (assetId) => {
        asset = assetId;
      },
      stumbled: () => undefined,
      done: () => {
        resolve(asset);
      },
      failed: (refusal) => {
        reject(new Refused(refusal));
      },
    });
    transfer.start();
  });
}

/** Makes a film that was sent evidence of a case. For a moment after it was sent it may not be known there yet. */
export async function preserveFilm(requestId: string, caseId: string, assetId: string): Promise<void> {
  const end = performance.now() + PATIENCE_MS;
  for (;;) {
    try {
      await leaks.addLeakEvidence({ requestId, caseId, assetId });
      return;
    } catch (error) {
      if (refusalOfCall(error).reason !== "COPY_NOT_FOUND" || performance.now() > end) throw error;
    }
    await pause(PAUSE_MS);
  }
}
