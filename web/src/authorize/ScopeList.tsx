import type { ReactElement } from "react";

import { scopeWords } from "./scopes";

/** What an app asks for, or may do already. */
export function ScopeList({
  scopes,
  label = "What it asks for",
}: {
  scopes: readonly string[];
  label?: string;
}): ReactElement {
  return (
    <ul className="scopes" aria-label={label} data-testid="scopes">
      {scopes.map((scope) => (
        <li key={scope}>{scopeWords(scope)}</li>
      ))}
    </ul>
  );
}
