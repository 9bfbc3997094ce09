import type { ReactElement } from "react";

import { Field } from "../ui/Field";

const DIGITS = 8;

/** The digits in what somebody typed or pasted. */
export function digitsOf(text: string): string {
  return text.replaceAll(/\D/g, "").slice(0, DIGITS);
}

/** Whether a code is complete. */
export function isCode(text: string): boolean {
  return text.length === DIGITS;
}

interface Props {
  readonly value: string;
  readonly hint: string;
  readonly onChange: (digits: string) => void;
}

/** The field for a code from a message. Spaces and dashes that come along when it is copied are left out. */
export function CodeField({ value, hint, onChange }: Props): ReactElement {
  return (
    <Field
      label="Code"
      type="text"
      inputMode="numeric"
      autoComplete="one-time-code"
      placeholder="12345678"
      className="code-input"
      value={value}
      hint={hint}
      help="8 digits. It is good for 15 minutes."
      data-testid="code"
      onChange={(text) => {
        onChange(digitsOf(text));
      }}
    />
  );
}
