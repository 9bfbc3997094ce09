import { useCallback, useEffect, useRef, useState } from "react";

import { refusalOfCall, type Refusal } from "../api/refusal";

/** One page of a list. */
export interface PageOf<T> {
  readonly items: readonly T[];
  readonly next: string;
}

/** A list as far as it was fetched. */
export interface Pages<T> {
  /** Undefined until the first page is there. */
  readonly items: readonly T[] | undefined;
  readonly refusal: Refusal | null;
  readonly hasMore: boolean;
  readonly more: () => void;
  readonly reload: () => void;
}

/** Fetches a list page by page. `fetchPage` is asked with the token of the page. */
export function usePages<T>(fetchPage: (token: string) => Promise<PageOf<T>>): Pages<T> {
  const [items, setItems] = useState<readonly T[]>();
  const [next, setNext] = useState("");
  const [refusal, setRefusal] = useState<Refusal | null>(null);
  const newest = useRef(0);
  const look = useCallback(
    async (token: string): Promise<void> => {
      newest.current += 1;
      const mine = newest.current;
      try {
        const page = await fetchPage(token);
        if (mine !== newest.current) return; // asked again meanwhile
        setItems((before) => (token === "" ? page.items : [...(before ?? []), ...page.items]));
        setNext(page.next);
        setRefusal(null);
      } catch (error) {
        if (mine === newest.current) setRefusal(refusalOfCall(error));
      }
    },
    [fetchPage],
  );
  useEffect(() => {
    void Promise.resolve().then(() => look(""));
  }, [look]);
  return { items, refusal, hasMore: next !== "", more: () => void look(next), reload: () => void look("") };
}
