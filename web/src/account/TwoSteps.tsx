import { useState, type ReactElement } from "react";

import { Button } from "../ui/Button";

interface Props {
  /** What the first button says; with the name of what it is about it must be clear to who hears it alone. */
  readonly label: string;
  readonly about: string;
  /** What the second button says, which does it. */
  readonly sure: string;
  readonly busy: boolean;
  readonly onSure: () => void;
  readonly testId: string;
}

/** A button for what cannot be taken back: it asks once more in its own place. The keyboard's focus stays there. */
export function TwoSteps({ label, about, sure, busy, onSure, testId }: Props): ReactElement {
  const [asking, setAsking] = useState(false);
  const [kept, setKept] = useState(false);
  if (!asking) {
    return (
      // Keys, so that neither step gets the other's buttons: who presses twice by accident does nothing.
      <div key="first" className="controls">
        <Button
          look="quiet"
          aria-label={`${label}: ${about}`}
          data-testid={testId}
          // eslint-disable-next-line jsx-a11y/no-autofocus -- it takes the place of what was pressed
          autoFocus={kept}
          onClick={() => {
            setAsking(true);
          }}
        >
          {label}
        </Button>
      </div>
    );
  }
  const keep = (): void => {
    setKept(true);
    setAsking(false);
  };
  return (
    <div key="second" className="controls" role="group" aria-label={`${label}: ${about}`}>
      <Button look="danger" disabled={busy} data-testid={`${testId}-sure`} onClick={onSure}>
        {sure}
      </Button>
      <Button
        look="quiet"
        data-testid={`${testId}-keep`}
        // eslint-disable-next-line jsx-a11y/no-autofocus -- it takes the place of what was pressed, and does no harm
        autoFocus
        onClick={keep}
        onKeyDown={(event) => {
          if (event.key === "Escape") keep();
        }}
      >
        Keep
      </Button>
    </div>
  );
}
