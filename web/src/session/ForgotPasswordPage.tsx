import { useRef, useState, type ReactElement, type SyntheticEvent } from "react";

import { entrance } from "../api/clients";
import { freshId } from "../api/correlation";
import { announce } from "../app/announcer";
import { Link } from "../app/navigation";
import { PageHead } from "../app/PageHead";
import { Button } from "../ui/Button";
import { Field, PasswordField, UsernameAnchor } from "../ui/Field";
import { RefusalPanel } from "../ui/RefusalPanel";
import { CodeField, isCode } from "./CodeField";
import { NEW_PASSWORD_HELP } from "./newPassword";
import { credential } from "./current";
import { withNext } from "./next";
import { useSending, type Sending } from "./useSending";

/** Sets a new password by a code that is sent to the address. */
export function ForgotPasswordPage({ next }: { next: string }): ReactElement {
  const [email, setEmail] = useState("");
  const [resetId, setResetId] = useState("");
  const sending = useSending("email", "code", "new_password");
  const request = (): Promise<boolean> =>
    sending.send(async () => {
      const begun = await entrance.requestPasswordReset({ email: email.trim() });
      setResetId(begun.resetId);
      announce("If there is an account with this address, a code is on its way to it.");
    });
  const submit = (event: SyntheticEvent): void => {
    event.preventDefault();
    if (/.@./.test(email)) void request();
    else sending.refuse("email", "Enter your e-mail address: it looks like name@example.com.");
  };
  if (resetId !== "") {
    return (
      <ResetStep
        key={resetId}
        resetId={resetId}
        email={email.trim()}
        sending={sending}
        onAgain={() => void request()}
      />
    );
  }
  return (
    <div className="narrow" data-testid="forgot-password">
      <PageHead title="Set a new password" lead="We send a code to your e-mail address, with which you can." />
      {sending.refusal === null ? null : <RefusalPanel look="person" refusal={sending.refusal} />}
      <form className="form" onSubmit={submit} noValidate>
        <Field
          label="E-mail address"
          type="email"
          name="email"
          autoComplete="username"
          autoCapitalize="none"
          spellCheck={false}
          maxLength={254}
          required
          value={email}
          hint={sending.wrong("email")}
          data-testid="email"
          onChange={setEmail}
        />
        <Button look="primary" type="submit" disabled={sending.busy} data-testid="reset-request">
          {sending.busy ? "One moment…" : "Send the code"}
        </Button>
      </form>
      <p>
        You remember it? <Link href={withNext("/sign-in", next)}>Sign in</Link>
      </p>
    </div>
  );
}

interface ResetProps {
  readonly resetId: string;
  readonly email: string;
  readonly sending: Sending;
  readonly onAgain: () => void;
}

function ResetStep({ resetId, email, sending, onAgain }: ResetProps): ReactElement {
  const [code, setCode] = useState("");
  const [password, setPassword] = useState("");
  // What is sent again, because the answer was lost, goes with the same id.
  const requests = useRef(new Map<string, string>());
  const submit = (event: SyntheticEvent): void => {
    event.preventDefault();
    if (!isCode(code)) {
      sending.refuse("code", "Enter all 8 digits of the code.");
      return;
    }
    if (password.length < 10) {
      sending.refuse("new_password", "Use 10 characters or more.");
      return;
    }
    const sent = `${code} ${password}`;
    const requestId = requests.current.get(sent) ?? freshId();
    requests.current.set(sent, requestId);
    void sending.send(async () => {
      await entrance.resetPassword({ requestId, resetId, code, newPassword: password });
      const { tokens } = await entrance.logIn({ email, password });
      if (tokens !== undefined) credential.signIn(tokens);
    });
  };
  return (
    <div className="narrow" data-testid="reset">
      <PageHead
        title="Check your mail"
        lead={
          <>
            If there is an account with <strong>{email}</strong>, a code is on its way to it. You will be signed out on
            all devices.
          </>
        }
      />
      {sending.refusal === null ? null : <RefusalPanel look="person" refusal={sending.refusal} />}
      <form className="form" onSubmit={submit} noValidate>
        <UsernameAnchor value={email} />
        <CodeField value={code} hint={sending.wrong("code")} onChange={setCode} />
        <PasswordField
          label="New password"
          autoComplete="new-password"
          value={password}
          hint={sending.wrong("new_password")}
          help={sending.wrong("new_password") === "" ? NEW_PASSWORD_HELP : undefined}
          data-testid="new-password"
          onChange={setPassword}
        />
        <Button look="primary" type="submit" disabled={sending.busy} data-testid="reset-submit">
          {sending.busy ? "One moment…" : "Set password and sign in"}
        </Button>
      </form>
      <div className="ways">
        <Button look="quiet" icon="retry" disabled={sending.busy} onClick={onAgain}>
          Send another code
        </Button>
      </div>
    </div>
  );
}
