import { useId, type InputHTMLAttributes, type ReactElement, type ReactNode } from "react";

interface Props extends Omit<InputHTMLAttributes<HTMLInputElement>, "onChange"> {
  readonly label: string;
  /** What is wrong with it; empty when nothing is. */
  readonly hint?: string;
  /** What else there is to know. */
  readonly help?: ReactNode;
  readonly onChange: (value: string) => void;
  readonly "data-testid"?: string;
}

/** A field with its label, and under it what is wrong with it. */
export function Field({ label, hint = "", help, onChange, ...rest }: Props): ReactElement {
  const id = useId();
  const below = hint !== "" || help !== undefined;
  return (
    <div className="field">
      <label htmlFor={id}>{label}</label>
      <input
        id={id}
        aria-describedby={below ? `${id}-below` : undefined}
        aria-invalid={hint !== ""}
        onChange={(event) => {
          onChange(event.target.value);
        }}
        {...rest}
      />
      {below ? (
        <p id={`${id}-below`} className="help">
          {hint === "" ? null : (
            <strong className="hint" role="alert">
              {hint}{" "}
            </strong>
          )}
          {help}
        </p>
      ) : null}
    </div>
  );
}

/** Whose password a form is about, for password managers; people know. */
export function UsernameAnchor({ value }: { value: string }): ReactElement {
  return (
    <input
      type="text"
      className="visually-hidden"
      name="email"
      autoComplete="username"
      tabIndex={-1}
      aria-hidden="true"
      value={value}
      readOnly
    />
  );
}

interface PasswordProps {
  readonly label: string;
  readonly value: string;
  readonly autoComplete: "current-password" | "new-password";
  readonly hint?: string;
  readonly help?: ReactNode;
  readonly onChange: (value: string) => void;
  readonly "data-testid"?: string;
}

/** A password. It is never corrected or begun with a capital by the device. */
export function PasswordField(props: PasswordProps): ReactElement {
  return <Field type="password" autoCapitalize="none" spellCheck={false} maxLength={256} required {...props} />;
}
