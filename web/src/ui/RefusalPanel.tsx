import { useState, type ReactElement, type ReactNode } from "react";

import type { Refusal } from "../api/refusal";
import { wordsOf } from "../api/words";
import { Button } from "./Button";
import { Icon } from "./icons";

interface Props {
  readonly refusal: Refusal;
  /** What a person can do about it. */
  readonly actions?: ReactNode;
  /**
   * `card` sits among other things and tells operators what the server said, which is more exact than words of ours.
   * `person` sits there too and tells people about their own account, in words of ours; what only the server knows, such as how long to
   * wait, is told in its own.
   * `page` fills its place and tells viewers; what the server said can be found under its correlation id.
   */
  readonly look?: "page" | "card" | "person";
}

/** Says why something was refused, what can be done, and which id to quote. */
export function RefusalPanel({ refusal, actions, look = "card" }: Props): ReactElement {
  const { reason, title, advice, detail, correlationId, retryAfter } = refusal;
  const ours = look === "person" && correlationId !== "" && retryAfter === undefined && wordsOf(reason) !== undefined;
  const exact = look !== "page" && !ours && detail !== "" && detail !== title;
  const footnote = look === "page" && (correlationId === "" || wordsOf(reason) === undefined) ? detail : "";
  return (
    <section
      className={look === "page" ? "refusal whole" : "refusal"}
      role="alert"
      data-testid="refusal"
      data-reason={reason}
    >
      <Icon name="alert" />
      <div className="refusal-words">
        <h2>{title}</h2>
        <p className="refusal-advice">{exact ? detail : advice}</p>
        {footnote === "" ? null : <p className="refusal-detail">{footnote}</p>}
        {correlationId === "" ? null : <CorrelationId id={correlationId} />}
        {actions === undefined ? null : <div className="refusal-actions">{actions}</div>}
      </div>
    </section>
  );
}

function CorrelationId({ id }: { id: string }): ReactElement {
  const [copied, setCopied] = useState(false);
  const copy = async (): Promise<void> => {
    await navigator.clipboard.writeText(id);
    setCopied(true);
  };
  return (
    <p className="correlation">
      Correlation id <code data-testid="correlation-id">{id}</code>
      {/* The clipboard exists on secure origins only. */}
      {"clipboard" in navigator ? (
        <Button look="quiet" icon={copied ? "check" : "copy"} onClick={() => void copy()}>
          {copied ? "Copied" : "Copy"}
        </Button>
      ) : null}
    </p>
  );
}
