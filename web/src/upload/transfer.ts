// One file on its way to the server by tus 1.0 (https://tus.io/protocols/resumable-upload).

import { defaultOptions, DetailedError, Upload, type HttpRequest, type PreviousUpload } from "tus-js-client";

import { ConnectError } from "@connectrpc/connect";

import type { Credential } from "../api/authenticated";
import { freshId } from "../api/correlation";
import { ownRefusal, refusalOfAnswer, refusalOfCall, unreachable, type Refusal } from "../api/refusal";

/** Where tus uploads are created. */
export const TUS_ENDPOINT = "/files/";

/** What a transfer tells its owner. */
export interface TransferEvents {
  readonly progress: (sent: number, total: number) => void;
  /** The id of the asset to be is known, and the id under which the logs of the mesh hold this upload. */
  readonly named: (assetId: string, correlationId: string) => void;
  /** The connection broke for a moment; it is tried again. */
  readonly stumbled: () => void;
  readonly done: (uploadId: string) => void;
  readonly failed: (refusal: Refusal) => void;
}

/** What a transfer is told. */
export interface TransferOrder {
  readonly file: File;
  readonly title: string;
  /** Asked before each request. */
  readonly credential: Credential;
  /** An interrupted upload of the same file that is to be continued. */
  readonly previous: PreviousUpload | null;
  /** What the file is for; a title where nothing is said. */
  readonly purpose?: "evidence";
}

const REASON_OF_STATUS = {
  400: "UPLOAD_REFUSED",
  403: "PERMISSION_MISSING",
  404: "UPLOAD_NOT_FOUND",
  409: "OFFSET_MISMATCH",
  410: "UPLOAD_NOT_FOUND",
  413: "FILE_TOO_LARGE",
  423: "WRITER_BUSY",
  460: "CHUNK_CORRUPT",
  507: "NO_SPACE",
};

/** Whether an answer with this status (0 for none) is worth another try of the same request. After 429 the queue waits as it was told to. */
function worthRepeating(status: number): boolean {
  return status === 0 || status === 409 || status === 423 || status >= 500;
}

function statusOf(error: Error | DetailedError): number {
  return error instanceof DetailedError ? (error.originalResponse?.getStatus() ?? 0) : 0;
}

/** What the server answered; null when it did not. */
function answered(error: Error | DetailedError, correlationId: string): Refusal | null {
  const response = error instanceof DetailedError ? error.originalResponse : null;
  if (response === null) return null;
  const header = (name: string): string | undefined => response.getHeader(name);
  const answer = { status: response.getStatus(), header, body: response.getBody() };
  const found = refusalOfAnswer(answer, "UPLOAD_REFUSED", REASON_OF_STATUS);
  return found.correlationId === "" ? { ...found, correlationId } : found;
}

async function refusalOf(error: Error | DetailedError, file: File, correlationId: string): Promise<Refusal> {
  const found = answered(error, correlationId);
  if (found !== null) return found;
  // The request was never sent, because there was no credential to send with it.
  const cause = error instanceof DetailedError ? error.causingError : undefined;
  if (cause instanceof ConnectError) return refusalOfCall(cause, correlationId);
  try {
    await file.slice(0, 1).arrayBuffer();
  } catch {
    return ownRefusal("FILE_UNREADABLE");
  }
  return unreachable(correlationId);
}

/** The upload id is the last part of its address. */
export function uploadIdOf(url: string): string {
  return new URL(url, "http://same.origin").pathname.split("/").at(-1) ?? "";
}

/** Uploads of this browser that were not finished, newest first. */
export async function unfinishedUploads(): Promise<PreviousUpload[]> {
  const found = await defaultOptions.urlStorage.findAllUploads();
  return found
    .filter((upload) => upload.uploadUrl !== null && (upload.metadata.filename ?? "") !== "")
    .sort((a, b) => Date.parse(b.creationTime) - Date.parse(a.creationTime));
}

/** Forgets an unfinished upload. Its bytes on the server expire by themselves. */
export async function forgetUpload(previous: PreviousUpload): Promise<void> {
  await defaultOptions.urlStorage.removeUpload(previous.urlStorageKey);
}

/** Removes an unfinished upload from the server and from this browser. */
export async function discardUpload(previous: PreviousUpload, credential: Credential): Promise<void> {
  if (previous.uploadUrl !== null) {
    const onBeforeRequest = async (request: HttpRequest): Promise<void> => {
      request.setHeader("Authorization", `Bearer ${await credential.bearer()}`);
    };
    await Upload.terminate(previous.uploadUrl, { endpoint: TUS_ENDPOINT, onBeforeRequest }).catch(() => undefined);
  }
  await forgetUpload(previous);
}

/** The newest interrupted upload of exactly this file, if there is one. */
export async function interruptedUploadOf(file: File): Promise<PreviousUpload | null> {
  const found = await new Upload(file, { endpoint: TUS_ENDPOINT }).findPreviousUploads();
  const usable = found.filter((upload) => upload.uploadUrl !== null);
  return usable.sort((a, b) => Date.parse(b.creationTime) - Date.parse(a.creationTime))[0] ?? null;
}

/** One file on its way in. It can be stopped and started again any number of times. */
export class Transfer {
  readonly #upload: Upload;
  #stopped = true;
  #presented = "";
  #renewed = false;

  constructor(order: TransferOrder, events: TransferEvents) {
    const { file, title, credential, purpose } = order;
    const correlationId = freshId();
    this.#upload = new Upload(file, {
      endpoint: TUS_ENDPOINT,
      metadata: { filename: file.name, filetype: file.type, title, ...(purpose === undefined ? {} : { purpose }) },
      chunkSize: Infinity,
      removeFingerprintOnSuccess: true,
      // Whoever chooses the same file on the page of uploads means a title.
      storeFingerprintForResuming: purpose === undefined,
      // Short stumbles are mended here; longer breaks are the queue's business, which knows when the browser is back online.
      retryDelays: [0, 500, 1500],
      onBeforeRequest: async (request) => {
        this.#presented = await credential.bearer();
        request.setHeader("Authorization", `Bearer ${this.#presented}`);
        request.setHeader("X-Correlation-Id", correlationId);
      },
      onAfterResponse: (_request, response) => {
        if (response.getStatus() < 400) this.#renewed = false;
        const assetId = response.getHeader("Reelmesh-Asset-Id");
        if (assetId === undefined || assetId === "") return;
        events.named(assetId, response.getHeader("X-Correlation-Id") ?? correlationId);
      },
      onShouldRetry: (error) => {
        if (statusOf(error) === 401) return this.#renews(credential, answered(error, correlationId));
        const repeat = !this.#stopped && worthRepeating(statusOf(error));
        if (repeat) events.stumbled();
        return repeat;
      },
      onProgress: (sent, total) => {
        events.progress(sent, total);
      },
      onError: (error) => {
        if (this.#stopped) return;
        void refusalOf(error, file, correlationId).then(events.failed);
      },
      onSuccess: () => {
        events.done(uploadIdOf(this.#upload.url ?? ""));
      },
    });
    if (order.previous !== null) this.#upload.resumeFromPreviousUpload(order.previous);
  }

  /** The credential was not accepted. Returns whether the same request fares better with a fresh one, which is tried once. */
  #renews(credential: Credential, found: Refusal | null): boolean {
    const again = found !== null && credential.refused(this.#presented, found) && !this.#renewed && !this.#stopped;
    this.#renewed = again;
    return again;
  }

  /** Address of the upload on the server; null before it was created. */
  get url(): string | null {
    return this.#upload.url;
  }

  /** Starts, or goes on where the server stopped. */
  start(): void {
    this.#stopped = false;
    this.#upload.start();
  }

  /** Stops sending. What arrived is kept. */
  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#upload.abort(false);
  }

  /** Gives the upload up and removes its bytes from the server. */
  async discard(): Promise<void> {
    this.#stopped = true;
    await this.#upload.abort(true).catch(() => undefined);
  }
}
