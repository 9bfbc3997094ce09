import { useId, type ReactElement, type ReactNode } from "react";

interface Props {
  readonly label: string;
  readonly value: string;
  /** What is wrong with it; empty when nothing is. */
  readonly hint: string;
  readonly onChange: (value: string) => void;
  readonly "data-testid": string;
}

function Hint({ id, hint }: { id: string; hint: string }): ReactElement | null {
  return hint === "" ? null : (
    <p id={id} className="help">
      <strong className="hint" role="alert">
        {hint}
      </strong>
    </p>
  );
}

/** A field for more than a line. */
export function TextArea({ label, value, hint, onChange, ...rest }: Props): ReactElement {
  const id = useId();
  return (
    <div className="field">
      <label htmlFor={id}>{label}</label>
      <textarea
        id={id}
        value={value}
        maxLength={4000}
        aria-invalid={hint !== ""}
        aria-describedby={hint === "" ? undefined : `${id}-below`}
        onChange={(event) => {
          onChange(event.target.value);
        }}
        {...rest}
      />
      <Hint id={`${id}-below`} hint={hint} />
    </div>
  );
}

/** One of several. */
export function Choice({
  label,
  value,
  hint,
  onChange,
  choices,
  ...rest
}: Props & { readonly choices: readonly { readonly name: string; readonly title: string }[] }): ReactElement {
  const id = useId();
  return (
    <div className="field">
      <label htmlFor={id}>{label}</label>
      <select
        id={id}
        value={value}
        aria-invalid={hint !== ""}
        aria-describedby={hint === "" ? undefined : `${id}-below`}
        onChange={(event) => {
          onChange(event.target.value);
        }}
        {...rest}
      >
        <option value="">Choose…</option>
        {choices.map(({ name, title }) => (
          <option key={name} value={name}>
            {title}
          </option>
        ))}
      </select>
      <Hint id={`${id}-below`} hint={hint} />
    </div>
  );
}

interface CheckProps {
  readonly checked: boolean;
  readonly hint: string;
  readonly onChange: (checked: boolean) => void;
  readonly children: ReactNode;
  readonly "data-testid": string;
}

/** Something that is declared. */
export function Check({ checked, hint, onChange, children, ...rest }: CheckProps): ReactElement {
  const id = useId();
  return (
    <div className="field">
      <label className="declared">
        <input
          type="checkbox"
          checked={checked}
          aria-invalid={hint !== ""}
          aria-describedby={hint === "" ? undefined : `${id}-below`}
          onChange={(event) => {
            onChange(event.target.checked);
          }}
          {...rest}
        />
        <span>{children}</span>
      </label>
      <Hint id={`${id}-below`} hint={hint} />
    </div>
  );
}
