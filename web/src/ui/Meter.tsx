import type { ReactElement } from "react";

import { percent } from "./format";

interface Props {
  /** What is measured, for people who cannot see it. */
  readonly label: string;
  /** Share that is done, 0 to 1; undefined while it cannot be told. */
  readonly fraction: number | undefined;
  readonly tone?: "accent" | "ok" | "bad" | "still";
}

/** A bar that fills. */
export function Meter({ label, fraction, tone = "accent" }: Props): ReactElement {
  const known = fraction === undefined ? undefined : Math.min(1, Math.max(0, fraction));
  const value =
    known === undefined ? {} : { "aria-valuenow": Math.floor(known * 100), "aria-valuetext": percent(known) };
  return (
    <div
      role="progressbar"
      aria-label={label}
      aria-valuemin={0}
      aria-valuemax={100}
      {...value}
      className={`meter ${tone}`}
    >
      <div
        className={known === undefined ? "meter-fill unknown" : "meter-fill"}
        style={known === undefined ? {} : { transform: `scaleX(${known})` }}
      />
    </div>
  );
}
