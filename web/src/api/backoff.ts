/** Milliseconds to wait before attempt `attempt` (0 is the first repeat): doubling from half a second to 15 s, with jitter. */
export function backoff(attempt: number, random: () => number = Math.random): number {
  const ceiling = Math.min(15_000, 500 * 2 ** attempt);
  return ceiling * (0.5 + random() / 2);
}

/** The same, but never shorter than the server asked for, in seconds: a call that comes sooner is refused again. */
export function backoffAfter(
  attempt: number,
  retryAfter: number | undefined,
  random: () => number = Math.random,
): number {
  return Math.max(backoff(attempt, random), (retryAfter ?? 0) * 1000);
}

/** Waits; ends early when the browser comes back online or the signal fires. */
export function pause(milliseconds: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      clearTimeout(timer);
      globalThis.removeEventListener("online", done);
      signal?.removeEventListener("abort", done);
      resolve();
    };
    const timer = setTimeout(done, milliseconds);
    globalThis.addEventListener("online", done);
    signal?.addEventListener("abort", done);
    if (signal?.aborted === true) done();
  });
}
