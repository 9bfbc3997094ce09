import { useSyncExternalStore, type ReactElement } from "react";

// One polite live region for the whole application, so that several uploads do not talk over each other.

const QUIET_MS = 1500;

let spoken = "";
let waiting: string[] = [];
let timer: number | undefined;
const listeners = new Set<() => void>();

function speak(): void {
  timer = undefined;
  if (waiting.length === 0) return;
  spoken = waiting.join(" ");
  waiting = [];
  for (const listener of listeners) listener();
  timer = window.setTimeout(speak, QUIET_MS);
}

/** Tells people who use a screen reader what happened. What comes within a moment is said in one piece. */
export function announce(sentence: string): void {
  waiting.push(sentence);
  timer ??= window.setTimeout(speak, 200);
}

function subscribe(listener: () => void): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

/** The live region. Rendered once. */
export function Announcer(): ReactElement {
  const text = useSyncExternalStore(subscribe, () => spoken);
  return (
    <div className="visually-hidden" aria-live="polite" role="status" data-testid="announcer">
      {text}
    </div>
  );
}
