import type { ReactElement } from "react";

import { scopeWords } from "./scopes";

/** What an app asks for. */
export function ScopeList({ scopes }: { scopes: readonly string[] }): ReactElement {
  return (
    <ul className="scopes" aria-label="What it asks for" data-testid="scopes">
      {scopes.map((scope) => (
        <li key={scope}>{scopeWords(scope)}</li>
      ))}
    </ul>
  );
}
