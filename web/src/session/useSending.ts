import { useCallback, useRef, useState } from "react";

import { refusalOfCall, type Refusal } from "../api/refusal";
import { sentence } from "../ui/format";

/** A form that is sent, one time after the other. */
export interface Sending {
  readonly busy: boolean;
  /** Why the last time was refused; null while it was not, or when a field tells it. */
  readonly refusal: Refusal | null;
  /** What is wrong with a field, by its name in the contract; empty when nothing is. */
  readonly wrong: (field: string) => string;
  /** Sends it. Returns whether that went well. */
  readonly send: (work: () => Promise<unknown>) => Promise<boolean>;
  /** Says what is wrong before anything is sent; null when nothing is. */
  readonly refuse: (field: string, description: string) => void;
  readonly clear: () => void;
}

/** Sends a form and keeps what came of it. `fields` are those that the form shows: what is wrong with them is told under them. */
export function useSending(...fields: readonly string[]): Sending {
  const [busy, setBusy] = useState(false);
  const [refusal, setRefusal] = useState<Refusal | null>(null);
  const [hints, setHints] = useState<Readonly<Record<string, string>>>({});
  const known = useRef(fields);

  const clear = useCallback(() => {
    setRefusal(null);
    setHints({});
  }, []);
  const send = useCallback(
    async (work: () => Promise<unknown>): Promise<boolean> => {
      setBusy(true);
      clear();
      try {
        await work();
        return true;
      } catch (error) {
        const found = refusalOfCall(error);
        const told = found.fields.filter(({ field }) => known.current.includes(field));
        if (told.length === 0) setRefusal(found);
        else setHints(Object.fromEntries(told.map(({ field, description }) => [field, sentence(description)])));
        return false;
      } finally {
        setBusy(false);
      }
    },
    [clear],
  );
  const refuse = useCallback((field: string, description: string) => {
    setRefusal(null);
    setHints({ [field]: description });
  }, []);
  return { busy, refusal, wrong: (field) => hints[field] ?? "", send, refuse, clear };
}
