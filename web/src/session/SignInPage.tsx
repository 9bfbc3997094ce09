import { useState, type ReactElement, type SyntheticEvent } from "react";

import { PageHead } from "../app/PageHead";
import { Button } from "../ui/Button";
import { RefusalPanel } from "../ui/RefusalPanel";
import { credential, useCredential } from "./current";

/** Asks for the operator's key. */
export function SignInPage(): ReactElement {
  const { refused } = useCredential();
  return (
    <div className="narrow" data-testid="sign-in">
      <PageHead title="Sign in" lead="The library and uploads need an operator key." />
      {refused === null ? null : <RefusalPanel refusal={refused} />}
      <SignInForm />
    </div>
  );
}

/** The field for the key. */
export function SignInForm(): ReactElement {
  const [key, setKey] = useState("");
  const [hint, setHint] = useState("");
  const submit = (event: SyntheticEvent): void => {
    event.preventDefault();
    const given = key.trim();
    if (given === "") setHint("Paste the key first.");
    else if (/\s/.test(given)) setHint("A key has no spaces in it. Copy it again.");
    else credential.accept(given);
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
        <Button look="primary" type="submit" data-testid="sign-in-submit">
          Sign in
        </Button>
      </div>
      <p id="api-key-help" className="help">
        {hint === "" ? null : <strong className="hint">{hint} </strong>}
        Run <code>reelmesh key</code> on the server to see it. It is kept in this tab only, until you close it.
      </p>
    </form>
  );
}
