import { useState, type ReactElement, type SyntheticEvent } from "react";

import { codeEntrance } from "../api/clients";
import { freshId } from "../api/correlation";
import { announce } from "../app/announcer";
import { PageHead } from "../app/PageHead";
import { Button } from "../ui/Button";
import { RefusalPanel } from "../ui/RefusalPanel";
import { CodeField, isCode } from "./CodeField";
import { credential } from "./current";
import { useSending } from "./useSending";

/** A code is on its way to this address. */
export interface CodeSent {
  readonly email: string;
  readonly signInId: string;
}

/** Sends a code to sign in with. What comes back does not tell whether there is an account. */
export async function sendCode(email: string): Promise<CodeSent> {
  const { signInId } = await codeEntrance.sendSignInCode({ to: { case: "email", value: email } });
  announce("If there is an account with this address, a code is on its way to it.");
  return { email, signInId };
}

interface Props {
  readonly sent: CodeSent;
  readonly onAgain: (sent: CodeSent) => void;
  /** Goes back to the other ways in. */
  readonly onBack: () => void;
}

/** Signs in by a code that was sent. */
export function CodeSignIn({ sent, onAgain, onBack }: Props): ReactElement {
  const [code, setCode] = useState("");
  const sending = useSending("code");
  const submit = (event: SyntheticEvent): void => {
    event.preventDefault();
    if (!isCode(code)) {
      sending.refuse("code", "Enter all 8 digits of the code.");
      return;
    }
    void sending.send(async () => {
      // Each try is a request of its own: where an answer was lost, the server says that another code is needed.
      const { tokens } = await codeEntrance.signInWithCode({ requestId: freshId(), signInId: sent.signInId, code });
      if (tokens !== undefined) credential.signIn(tokens);
    });
  };
  return (
    <div className="narrow" data-testid="code-sign-in">
      <PageHead
        title="Check your mail"
        lead={
          <>
            If there is an account with <strong>{sent.email}</strong>, a code is on its way to it.
          </>
        }
      />
      {sending.refusal === null ? null : <RefusalPanel look="person" refusal={sending.refusal} />}
      <form className="form" onSubmit={submit} noValidate>
        <CodeField value={code} hint={sending.wrong("code")} onChange={setCode} />
        <Button look="primary" type="submit" disabled={sending.busy} data-testid="code-submit">
          {sending.busy ? "One moment…" : "Sign in"}
        </Button>
      </form>
      <div className="ways">
        <Button
          look="quiet"
          icon="retry"
          disabled={sending.busy}
          onClick={() =>
            void sending.send(async () => {
              onAgain(await sendCode(sent.email));
            })
          }
        >
          Send another code
        </Button>
        <Button look="quiet" disabled={sending.busy} onClick={onBack}>
          Sign in another way
        </Button>
      </div>
    </div>
  );
}
