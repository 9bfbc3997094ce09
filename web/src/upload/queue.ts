// Files on their way: chosen, sent, and followed through the pipeline until they can be watched. The queue outlives the page that
// shows it, so that people can look at the library meanwhile.

import type { Client } from "@connectrpc/connect";
import { AssetState, type Asset } from "@gen/reelmesh/assets/v1/assets_pb";
import type { AssetsService } from "@gen/reelmesh/assets/v1/assets_service_pb";
import type { UploadService } from "@gen/reelmesh/upload/v1/upload_service_pb";
import type { PreviousUpload } from "tus-js-client";

import type { Credential } from "../api/authenticated";
import { backoffAfter, pause } from "../api/backoff";
import { freshId } from "../api/correlation";
import { ownRefusal, refusal, refusalOfCall, type Refusal } from "../api/refusal";
import { followAsset } from "./follow";
import { Rate } from "./rate";
import { Transfer } from "./transfer";

/** Where an entry stands. */
export type EntryState =
  | "staged" // chosen, not sent yet; the title can be changed
  | "queued" // waits for another file to be sent first
  | "uploading"
  | "waiting" // the connection broke; it goes on by itself
  | "paused"
  | "checking" // all bytes are sent, the server is committing them
  | "processing" // in the pipeline
  | "ready" // can be watched
  | "refused"; // `refusal` says why

/** One file, as a page shows it. */
export interface Entry {
  readonly id: string;
  /** Which choice of files it came with: the newest is shown first. */
  readonly batch: number;
  readonly state: EntryState;
  readonly filename: string;
  readonly title: string;
  readonly size: number;
  /** Bytes that left this machine. */
  readonly sent: number;
  /** Bytes a second and seconds left; undefined while unknown. */
  readonly perSecond: number | undefined;
  readonly secondsLeft: number | undefined;
  /** Bytes that the server had from an earlier attempt; undefined when this is the first. */
  readonly continuesAt: number | undefined;
  /** Id of the asset to be; empty until the server told it. */
  readonly assetId: string;
  /** The id to quote to the operator; empty until the server took the upload. */
  readonly correlationId: string;
  /** The asset on its way through the pipeline; null before it exists. */
  readonly asset: Asset | null;
  /** Why it stopped, or why it waits. */
  readonly refusal: Refusal | null;
  /** Whether trying again makes sense. */
  readonly canRetry: boolean;
}

/** A file to stage, with the interrupted upload that it continues. */
export interface Staged {
  readonly file: File;
  readonly previous: PreviousUpload | null;
  readonly received: number;
}

/** What the queue works with. */
export interface QueueParts {
  readonly assets: Client<typeof AssetsService>;
  readonly uploads: Client<typeof UploadService>;
  readonly credential: Credential;
  /** Where followed assets are remembered over a reload. */
  readonly memory: Storage;
}

interface Working {
  entry: Entry;
  readonly file: File | null;
  readonly previous: PreviousUpload | null;
  readonly rate: Rate;
  transfer: Transfer | null;
  attempt: number;
  readonly gone: AbortController;
}

const MEMORY_SLOT = "reelmesh.following";
const AT_ONCE = 2;
// Browsers keep at most six connections to one HTTP/1.1 server; streams must leave some free.
const STREAMS_AT_ONCE = 3;
const POLL_MS = 4000;
const SENDING: ReadonlySet<EntryState> = new Set(["uploading", "waiting", "checking"]);

// Trying the same file again changes nothing about these.
const HOPELESS: ReadonlySet<string> = new Set([
  "FILE_TOO_LARGE",
  "FILE_UNREADABLE",
  "FILE_CORRUPT",
  "BEYOND_SIZE",
  "BODY_TOO_LONG",
  "HEADER_INVALID",
  "REQUEST_INVALID",
]);

/** The name of a file without its extension. */
export function titleOf(filename: string): string {
  return (
    filename
      .replace(/\.[^.]{1,8}$/, "")
      .replaceAll("_", " ")
      .trim() || filename
  );
}

/** The queue. */
export class UploadQueue {
  readonly #parts: QueueParts;
  readonly #work = new Map<string, Working>();
  readonly #listeners = new Set<() => void>();
  #snapshot: readonly Entry[] = [];
  #streams = 0;
  #told: number | undefined;
  #batch = 0;

  constructor(parts: QueueParts) {
    this.#parts = parts;
    for (const entry of this.#remembered()) {
      const work = this.#add(entry, null, null);
      void this.#follow(work);
    }
  }

  readonly entries = (): readonly Entry[] => this.#snapshot;

  readonly subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  };

  /** Whether leaving the page would interrupt something. */
  get busy(): boolean {
    return this.#snapshot.some((entry) => SENDING.has(entry.state) || entry.state === "queued");
  }

  /** Whether an upload of this browser is in the list already. */
  owns(uploadUrl: string | null): boolean {
    if (uploadUrl === null) return false;
    return [...this.#work.values()].some(
      (work) => work.previous?.uploadUrl === uploadUrl || work.transfer?.url === uploadUrl,
    );
  }

  /** Puts files into the list without sending them. */
  stage(files: readonly Staged[]): void {
    this.#batch += 1;
    for (const { file, previous, received } of files) {
      const empty = file.size === 0;
      this.#add(
        {
          id: freshId(),
          batch: this.#batch,
          state: empty ? "refused" : "staged",
          filename: file.name,
          title: previous?.metadata.title ?? titleOf(file.name),
          size: file.size,
          sent: 0,
          perSecond: undefined,
          secondsLeft: undefined,
          continuesAt: previous === null ? undefined : received,
          assetId: "",
          correlationId: "",
          asset: null,
          refusal: empty ? refusal("MASTER_EMPTY") : null,
          canRetry: false,
        },
        file,
        previous,
      );
    }
  }

  /** Changes the title of a file that was not sent yet. */
  retitle(id: string, title: string): void {
    const work = this.#work.get(id);
    if (work?.entry.state === "staged") this.#change(work, { title });
  }

  /** Sends all staged files, a few at a time. */
  sendAll(): void {
    for (const work of this.#work.values()) if (work.entry.state === "staged") this.#change(work, { state: "queued" });
    this.#next();
  }

  /** Holds a file. What the server has is kept. */
  pause(id: string): void {
    const work = this.#work.get(id);
    if (work === undefined) return;
    void work.transfer?.stop();
    work.rate.reset();
    this.#change(work, { state: "paused", perSecond: undefined, secondsLeft: undefined, refusal: null });
    this.#next();
  }

  /** Goes on with a file that was paused or refused. */
  resume(id: string): void {
    const work = this.#work.get(id);
    if (work === undefined) return;
    work.attempt = 0;
    if (work.file === null || work.entry.asset !== null) {
      this.#change(work, { state: "processing", refusal: null });
      void this.#follow(work);
      return;
    }
    this.#change(work, { state: "queued", refusal: null });
    this.#next();
  }

  /** Takes an entry off the list. A file that is not complete is given up on the server too. */
  remove(id: string): void {
    const work = this.#work.get(id);
    if (work === undefined) return;
    work.gone.abort();
    if (work.entry.state !== "processing" && work.entry.state !== "ready") void work.transfer?.discard();
    this.#work.delete(id);
    this.#remember();
    this.#tell();
    this.#next();
  }

  #add(entry: Entry, file: File | null, previous: PreviousUpload | null): Working {
    const work: Working = {
      entry,
      file,
      previous,
      rate: new Rate(),
      transfer: null,
      attempt: 0,
      gone: new AbortController(),
    };
    this.#work.set(entry.id, work);
    this.#tell();
    return work;
  }

  #next(): void {
    const all = [...this.#work.values()];
    let free = AT_ONCE - all.filter((work) => SENDING.has(work.entry.state)).length;
    for (const work of all) {
      if (free <= 0) return;
      if (work.entry.state !== "queued") continue;
      free -= 1;
      this.#send(work);
    }
  }

  #send(work: Working): void {
    if (work.file === null) return;
    work.rate.reset();
    this.#change(work, { state: "uploading", refusal: null });
    work.transfer ??= this.#transfer(work, work.file);
    work.transfer.start();
  }

  #transfer(work: Working, file: File): Transfer {
    const title = work.entry.title.trim() || titleOf(file.name);
    const order = { file, title, credential: this.#parts.credential, previous: work.previous };
    const sending = (): boolean => SENDING.has(work.entry.state) && !work.gone.signal.aborted;
    return new Transfer(order, {
      named: (assetId, correlationId) => {
        this.#change(work, { assetId, correlationId });
      },
      progress: (sent, total) => {
        if (!sending()) return;
        work.attempt = 0;
        work.rate.note(sent, performance.now());
        this.#change(work, {
          state: sent >= total ? "checking" : "uploading",
          sent,
          perSecond: work.rate.perSecond,
          secondsLeft: work.rate.secondsLeft(total),
          refusal: null,
        });
      },
      stumbled: () => {
        if (sending()) this.#change(work, { state: "waiting", perSecond: undefined, secondsLeft: undefined });
      },
      done: (uploadId) => {
        void this.#committed(work, uploadId);
      },
      failed: (found) => {
        if (sending()) void this.#broke(work, found);
      },
    });
  }

  /** A transfer stopped by itself. What may work later is tried again, sooner when the browser comes back online. */
  async #broke(work: Working, found: Refusal): Promise<void> {
    work.rate.reset();
    const stopped = { perSecond: undefined, secondsLeft: undefined, refusal: found };
    if (found.kind !== "transient") {
      this.#change(work, { state: "refused", canRetry: !HOPELESS.has(found.reason), ...stopped });
      this.#next();
      return;
    }
    this.#change(work, { state: "waiting", ...stopped });
    await pause(backoffAfter(work.attempt, found.retryAfter), work.gone.signal);
    work.attempt += 1;
    if (work.entry.state === "waiting" && !work.gone.signal.aborted) work.transfer?.start();
  }

  async #committed(work: Working, uploadId: string): Promise<void> {
    this.#change(work, { state: "processing", sent: work.entry.size, perSecond: undefined, secondsLeft: undefined });
    this.#next();
    for (let attempt = 0; work.entry.assetId === "" && !work.gone.signal.aborted; attempt += 1) {
      try {
        const { upload } = await this.#parts.uploads.getUpload({ uploadId }, { signal: work.gone.signal });
        this.#change(work, { assetId: upload?.assetId ?? "" });
      } catch (error) {
        const found = refusalOfCall(error);
        if (found.kind !== "transient") {
          this.#change(work, { state: "refused", refusal: found, canRetry: false });
          return;
        }
        await pause(backoffAfter(attempt, found.retryAfter), work.gone.signal);
      }
    }
    this.#remember();
    await this.#follow(work);
  }

  async #follow(work: Working): Promise<void> {
    const { signal } = work.gone;
    while (this.#streams >= STREAMS_AT_ONCE) {
      if (await this.#look(work)) return;
      await pause(POLL_MS, signal);
      if (signal.aborted) return;
    }
    this.#streams += 1;
    try {
      for await (const news of followAsset(this.#parts.assets, work.entry.assetId, signal)) {
        if (news.kind === "asset") this.#learn(work, news.asset);
        else if (news.kind === "reconnecting") this.#change(work, { refusal: news.refusal });
        else this.#change(work, { state: "refused", refusal: news.refusal, canRetry: true });
      }
    } finally {
      this.#streams -= 1;
    }
  }

  /** Asks once for the asset. Returns whether it is at its end. */
  async #look(work: Working): Promise<boolean> {
    try {
      const request = { assetId: work.entry.assetId };
      const { asset } = await this.#parts.assets.getAsset(request, { signal: work.gone.signal });
      if (asset !== undefined) this.#learn(work, asset);
    } catch {
      return false;
    }
    return work.entry.state !== "processing";
  }

  #learn(work: Working, asset: Asset): void {
    const title = asset.title === "" ? work.entry.title : asset.title;
    const size = asset.master === undefined ? work.entry.size : Number(asset.master.sizeBytes);
    const filename = asset.master?.filename ?? work.entry.filename;
    const known = { asset, title, size, filename, refusal: null };
    if (asset.state === AssetState.READY) this.#change(work, { ...known, state: "ready" });
    else if (asset.state === AssetState.FAILED) {
      const reason = asset.failure?.reason ?? "";
      const extras = { detail: asset.failure?.message, correlationId: work.entry.correlationId };
      const refused = reason === "" ? ownRefusal("UNKNOWN", extras) : refusal(reason, extras);
      this.#change(work, { ...known, state: "refused", refusal: refused, canRetry: false });
    } else if (asset.state === AssetState.WITHHELD) {
      this.#change(work, { ...known, state: "refused", refusal: refusal("CONSENT_MISSING"), canRetry: false });
    } else if (asset.state === AssetState.KEPT) {
      this.#change(work, { ...known, state: "refused", refusal: ownRefusal("KEPT_AS_EVIDENCE"), canRetry: false });
    } else if (asset.state === AssetState.DELETED) {
      this.#change(work, { ...known, state: "refused", refusal: refusal("ASSET_DELETED"), canRetry: false });
    } else this.#change(work, { ...known, state: "processing" });
  }

  #change(work: Working, change: Partial<Entry>): void {
    if (work.gone.signal.aborted) return;
    const moved = change.state !== undefined && change.state !== work.entry.state;
    work.entry = { ...work.entry, ...change };
    if (moved) this.#tell();
    else this.#told ??= window.setTimeout(this.#tell, 100); // progress comes in bursts: ten pictures a second are enough
  }

  readonly #tell = (): void => {
    window.clearTimeout(this.#told);
    this.#told = undefined;
    this.#snapshot = [...this.#work.values()].map((work) => work.entry).sort((a, b) => b.batch - a.batch);
    for (const listener of this.#listeners) listener();
  };

  #remember(): void {
    const kept = [...this.#work.values()]
      .map((work) => work.entry)
      .filter((entry) => entry.assetId !== "" && (entry.state === "processing" || entry.state === "ready"))
      .map(({ assetId, correlationId, title, filename, size }) => ({ assetId, correlationId, title, filename, size }));
    this.#parts.memory.setItem(MEMORY_SLOT, JSON.stringify(kept));
  }

  #remembered(): Entry[] {
    let kept: unknown;
    try {
      kept = JSON.parse(this.#parts.memory.getItem(MEMORY_SLOT) ?? "[]");
    } catch {
      return [];
    }
    if (!Array.isArray(kept)) return [];
    return kept.filter(isKept).map((item) => ({
      id: freshId(),
      batch: 0,
      state: "processing",
      filename: item.filename,
      title: item.title,
      size: item.size,
      sent: item.size,
      perSecond: undefined,
      secondsLeft: undefined,
      continuesAt: undefined,
      assetId: item.assetId,
      correlationId: item.correlationId,
      asset: null,
      refusal: null,
      canRetry: false,
    }));
  }
}

type Kept = Pick<Entry, "assetId" | "correlationId" | "title" | "filename" | "size">;

function isKept(item: unknown): item is Kept {
  if (typeof item !== "object" || item === null) return false;
  const { assetId, correlationId, title, filename, size } = item as Partial<Record<keyof Kept, unknown>>;
  return (
    [assetId, correlationId, title, filename].every((text) => typeof text === "string") && typeof size === "number"
  );
}
