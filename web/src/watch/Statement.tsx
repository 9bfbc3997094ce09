// What has to stand beside a title: that records of everybody in it are kept, by whom, and where.

import { useEffect, useState, type ReactElement } from "react";

import { records } from "../api/clients";

/** The custodian's statement on an asset; nothing where there is none. */
export function Statement({ assetId }: { assetId: string }): ReactElement | null {
  const [texts, setTexts] = useState<readonly string[]>([]);
  useEffect(() => {
    const gone = new AbortController();
    const show = (found: readonly string[]): void => {
      if (!gone.signal.aborted) setTexts(found);
    };
    records.getRecordsStatement({ assetId }, { signal: gone.signal }).then(
      ({ statements }) => {
        show(statements.map(({ text }) => text));
      },
      () => {
        show([]);
      },
    );
    return () => {
      gone.abort();
    };
  }, [assetId]);
  if (texts.length === 0) return null;
  return (
    <details className="more-info" data-testid="records-statement">
      <summary>18 U.S.C. 2257 statement</summary>
      {texts.map((text) => (
        <p key={text}>{text}</p>
      ))}
    </details>
  );
}
