import { useEffect, useState, type ReactElement, type SyntheticEvent } from "react";

import { entrance } from "../api/clients";
import { Link } from "../app/navigation";
import { PageHead } from "../app/PageHead";
import { Button } from "../ui/Button";
import { Field, PasswordField } from "../ui/Field";
import { RefusalPanel } from "../ui/RefusalPanel";
import { CodeSignIn, sendCode, type CodeSent } from "./CodeSignIn";
import { credential, useSignedIn } from "./current";
import { withNext } from "./next";
import { OutsideWays } from "./OutsideWays";
import { PasskeyOffer, passkeysWork } from "./passkeys";
import { useSending, type Sending } from "./useSending";

/** Asks who somebody is: by e-mail address and password or code, by passkey, by an outside provider, or by an operator's key. */
export function SignInPage({ next }: { next: string }): ReactElement {
  const { refused } = useSignedIn();
  const sending = useSending("email", "password");
  const [email, setEmail] = useState("");
  const [sent, setSent] = useState<CodeSent | null>(null);
  const [offer] = useState(() => new PasskeyOffer(sending.send));
  useEffect(() => {
    offer.start();
    return () => {
      offer.stop();
    };
  }, [offer]);
  if (sent !== null) {
    const back = (): void => {
      setSent(null);
    };
    return <CodeSignIn key={sent.signInId} sent={sent} onAgain={setSent} onBack={back} />;
  }
  const withCode = (): void => {
    if (/.@./.test(email)) {
      void sending.send(async () => {
        setSent(await sendCode(email.trim()));
      });
    } else sending.refuse("email", "Enter your e-mail address first: it looks like name@example.com.");
  };
  const shown = sending.refusal ?? refused;
  return (
    <div className="narrow" data-testid="sign-in">
      <PageHead title="Sign in" />
      {shown === null ? null : <RefusalPanel look="person" refusal={shown} />}
      <PasswordForm sending={sending} next={next} email={email} onEmail={setEmail} />
      <div className="ways">
        {passkeysWork() ? (
          <Button
            icon="passkey"
            disabled={sending.busy}
            data-testid="passkey-sign-in"
            onClick={() => void sending.send(() => offer.choose())}
          >
            Sign in with a passkey
          </Button>
        ) : null}
        <OutsideWays sending={sending} next={next} />
        <Button disabled={sending.busy} data-testid="send-code" onClick={withCode}>
          Send me a code instead
        </Button>
        <Link className="button plain" href={withNext("/register", next)} data-testid="to-register">
          Create an account
        </Link>
      </div>
      <details className="more-info" open={refused?.reason === "CREDENTIAL_INVALID"}>
        <summary data-testid="use-api-key">Use an API key</summary>
        <KeyForm />
      </details>
    </div>
  );
}

interface PasswordProps {
  readonly sending: Sending;
  readonly next: string;
  readonly email: string;
  readonly onEmail: (email: string) => void;
}

function PasswordForm({ sending, next, email, onEmail }: PasswordProps): ReactElement {
  const [password, setPassword] = useState("");
  const submit = (event: SyntheticEvent): void => {
    event.preventDefault();
    if (email.trim() === "") sending.refuse("email", "Enter your e-mail address.");
    else if (password === "") sending.refuse("password", "Enter your password.");
    else {
      void sending.send(async () => {
        const { tokens } = await entrance.logIn({ email: email.trim(), password });
        if (tokens !== undefined) credential.signIn(tokens);
      });
    }
  };
  return (
    <form className="form" onSubmit={submit} noValidate>
      <Field
        label="E-mail address"
        type="email"
        name="email"
        autoComplete="username webauthn"
        autoCapitalize="none"
        spellCheck={false}
        maxLength={254}
        required
        value={email}
        hint={sending.wrong("email")}
        data-testid="email"
        onChange={onEmail}
      />
      <PasswordField
        label="Password"
        autoComplete="current-password"
        value={password}
        hint={sending.wrong("password")}
        help={<Link href={withNext("/forgot-password", next)}>Forgot your password?</Link>}
        data-testid="password"
        onChange={setPassword}
      />
      <Button look="primary" type="submit" disabled={sending.busy} data-testid="log-in">
        {sending.busy ? "Signing in…" : "Sign in"}
      </Button>
    </form>
  );
}

/** The field for an operator's key. */
export function KeyForm(): ReactElement {
  const [key, setKey] = useState("");
  const [hint, setHint] = useState("");
  const submit = (event: SyntheticEvent): void => {
    event.preventDefault();
    const given = key.trim();
    if (given === "") setHint("Paste the key first.");
    else if (/\s/.test(given)) setHint("A key has no spaces in it. Copy it again.");
    else credential.acceptKey(given);
  };
  return (
    <form className="sign-in" onSubmit={submit} noValidate>
      <label htmlFor="api-key">API key</label>
      <div className="field-row">
        <input
          id="api-key"
          type="password"
          autoComplete="off"
          spellCheck={false}
          value={key}
          placeholder="rmk_…"
          data-testid="api-key"
          aria-describedby="api-key-help"
          aria-invalid={hint !== ""}
          onChange={(event) => {
            setKey(event.target.value);
            setHint("");
          }}
        />
        <Button look="plain" type="submit" data-testid="sign-in-submit">
          Use this key
        </Button>
      </div>
      <p id="api-key-help" className="help">
        {hint === "" ? null : <strong className="hint">{hint} </strong>}
        For operators: run <code>reelmesh key</code> on the server to see it. It is kept in this tab only, until you
        close it.
      </p>
    </form>
  );
}
