import { useRef, useState, type ReactElement, type SyntheticEvent } from "react";

import { entrance } from "../api/clients";
import { freshId } from "../api/correlation";
import { announce } from "../app/announcer";
import { Link } from "../app/navigation";
import { PageHead } from "../app/PageHead";
import { Button } from "../ui/Button";
import { Field, PasswordField } from "../ui/Field";
import { RefusalPanel } from "../ui/RefusalPanel";
import { CodeField, isCode } from "./CodeField";
import { NEW_PASSWORD_HELP } from "./newPassword";
import { credential } from "./current";
import { withNext } from "./next";
import { useSending, type Sending } from "./useSending";

interface Person {
  readonly displayName: string;
  readonly email: string;
  readonly password: string;
}

const NOTHING: Person = { displayName: "", email: "", password: "" };

/** Makes an account: name, address and password, then the code that was sent to the address. */
export function RegisterPage({ next }: { next: string }): ReactElement {
  const [person, setPerson] = useState(NOTHING);
  const [registrationId, setRegistrationId] = useState("");
  const sending = useSending("display_name", "email", "password", "code");
  const register = (): Promise<boolean> =>
    sending.send(async () => {
      const email = person.email.trim();
      const language = navigator.language.slice(0, 35);
      const begun = await entrance.register({ ...person, email, displayName: person.displayName.trim(), language });
      setRegistrationId(begun.registrationId);
      announce(`A code was sent to ${email}.`);
    });
  return registrationId === "" ? (
    <div className="narrow" data-testid="register">
      <PageHead title="Create an account" />
      {sending.refusal === null ? null : <RefusalPanel look="person" refusal={sending.refusal} />}
      <PersonForm person={person} sending={sending} onChange={setPerson} onSubmit={() => void register()} />
      <p>
        You have an account? <Link href={withNext("/sign-in", next)}>Sign in</Link>
      </p>
    </div>
  ) : (
    <VerifyStep
      key={registrationId}
      registrationId={registrationId}
      person={person}
      sending={sending}
      onAgain={() => void register()}
      onBack={() => {
        sending.clear();
        setRegistrationId("");
      }}
    />
  );
}

interface FormProps {
  readonly person: Person;
  readonly sending: Sending;
  readonly onChange: (person: Person) => void;
  readonly onSubmit: () => void;
}

function PersonForm({ person, sending, onChange, onSubmit }: FormProps): ReactElement {
  const submit = (event: SyntheticEvent): void => {
    event.preventDefault();
    if (!/.@./.test(person.email))
      sending.refuse("email", "Enter your e-mail address: it looks like name@example.com.");
    else if (person.password.length < 10) sending.refuse("password", "Use 10 characters or more.");
    else onSubmit();
  };
  return (
    <form className="form" onSubmit={submit} noValidate>
      <Field
        label="Name"
        type="text"
        name="name"
        autoComplete="name"
        maxLength={100}
        value={person.displayName}
        hint={sending.wrong("display_name")}
        help="Optional."
        data-testid="name"
        onChange={(displayName) => {
          onChange({ ...person, displayName });
        }}
      />
      <Field
        label="E-mail address"
        type="email"
        name="email"
        autoComplete="username"
        autoCapitalize="none"
        spellCheck={false}
        maxLength={254}
        required
        value={person.email}
        hint={sending.wrong("email")}
        data-testid="email"
        onChange={(email) => {
          onChange({ ...person, email });
        }}
      />
      <PasswordField
        label="Password"
        autoComplete="new-password"
        value={person.password}
        hint={sending.wrong("password")}
        help={sending.wrong("password") === "" ? NEW_PASSWORD_HELP : undefined}
        data-testid="password"
        onChange={(password) => {
          onChange({ ...person, password });
        }}
      />
      <Button look="primary" type="submit" disabled={sending.busy} data-testid="register-submit">
        {sending.busy ? "One moment…" : "Create account"}
      </Button>
    </form>
  );
}

interface VerifyProps {
  readonly registrationId: string;
  readonly person: Person;
  readonly sending: Sending;
  readonly onAgain: () => void;
  readonly onBack: () => void;
}

function VerifyStep({ registrationId, person, sending, onAgain, onBack }: VerifyProps): ReactElement {
  const [code, setCode] = useState("");
  // A code that is sent again, because the answer was lost, goes with the same id.
  const requests = useRef(new Map<string, string>());
  const submit = (event: SyntheticEvent): void => {
    event.preventDefault();
    if (!isCode(code)) {
      sending.refuse("code", "Enter all 8 digits of the code.");
      return;
    }
    const requestId = requests.current.get(code) ?? freshId();
    requests.current.set(code, requestId);
    void sending.send(async () => {
      const verified = await entrance.verifyEmail({ requestId, registrationId, code });
      // A repeat comes without tokens.
      const { email, password } = person;
      const tokens = verified.tokens ?? (await entrance.logIn({ email: email.trim(), password })).tokens;
      if (tokens !== undefined) credential.signIn(tokens);
    });
  };
  return (
    <div className="narrow" data-testid="verify">
      <PageHead
        title="Check your mail"
        lead={
          <>
            We sent a message to <strong>{person.email.trim()}</strong>. Enter the code in it.
          </>
        }
      />
      {sending.refusal === null ? null : <RefusalPanel look="person" refusal={sending.refusal} />}
      <form className="form" onSubmit={submit} noValidate>
        <CodeField value={code} hint={sending.wrong("code")} onChange={setCode} />
        <Button look="primary" type="submit" disabled={sending.busy} data-testid="verify-submit">
          {sending.busy ? "One moment…" : "Confirm"}
        </Button>
      </form>
      <div className="ways">
        <Button look="quiet" icon="retry" disabled={sending.busy} onClick={onAgain}>
          Send another code
        </Button>
        <Button look="quiet" disabled={sending.busy} onClick={onBack}>
          Change the address
        </Button>
      </div>
    </div>
  );
}
