import type { Authorization } from "@gen/reelmesh/identity/v1/oauth_pb";
import { useEffect, useState, type ReactElement } from "react";

import { oauth, refusing } from "../api/clients";
import { refusalOfCall, type Refusal } from "../api/refusal";
import { PageHead } from "../app/PageHead";
import { useCredential } from "../session/current";
import { Button } from "../ui/Button";
import { RefusalPanel } from "../ui/RefusalPanel";
import { signInFirst, useFragment } from "./arrival";
import { ScopeList } from "./ScopeList";

/** Leaves for the app, with its answer. */
function leave(redirectUri: string): void {
  window.location.replace(redirectUri);
}

async function answer(authorizationId: string, approve: boolean): Promise<void> {
  leave((await oauth.answerAuthorization({ authorizationId, approve })).redirectUri);
}

/** Answers without a question where the person need not or must not be asked. Returns whether it did. */
async function answeredAlone(asked: Authorization): Promise<boolean> {
  const needed = asked.consentNeeded || asked.signInNeeded;
  if (needed && !asked.silent) return false;
  await answer(asked.authorizationId, !needed);
  return true;
}

/** Asks the signed-in person whether an app may act for them. */
export function AuthorizePage(): ReactElement {
  const authorizationId = useFragment("request");
  const silent = useFragment("silent") !== "";
  const { key } = useCredential();
  const [asked, setAsked] = useState<Authorization | null>(null);
  const [refused, setRefused] = useState<Refusal | null>(null);

  useEffect(() => {
    let here = true;
    const ask = async (): Promise<void> => {
      if (key === "" && silent) leave((await refusing.refuseAuthorization({ authorizationId })).redirectUri);
      else if (key === "") signInFirst();
      else {
        const { authorization } = await oauth.getAuthorization({ authorizationId });
        if (authorization === undefined || !here) return;
        if (!(await answeredAlone(authorization))) setAsked(authorization);
      }
    };
    ask().catch((error: unknown) => {
      if (here) setRefused(refusalOfCall(error));
    });
    return () => {
      here = false;
    };
  }, [authorizationId, key, silent]);

  const decide = (approve: boolean): void => {
    answer(authorizationId, approve).catch((error: unknown) => {
      setRefused(refusalOfCall(error));
    });
  };

  if (refused !== null) return <Refused refused={refused} />;
  if (asked === null) return <p className="waiting">One moment…</p>;
  return <Question asked={asked} decide={decide} />;
}

function Refused({ refused }: { refused: Refusal }): ReactElement {
  const mendable = refused.reason === "PERMISSION_MISSING" || refused.kind === "credential";
  return (
    <div className="narrow">
      <PageHead title="An app wants to be let in" />
      <RefusalPanel
        refusal={refused}
        actions={mendable ? <Button onClick={signInFirst}>Sign in as a person</Button> : undefined}
      />
    </div>
  );
}

function Question({ asked, decide }: { asked: Authorization; decide: (approve: boolean) => void }): ReactElement {
  const [decided, setDecided] = useState(false);
  const say = (approve: boolean) => (): void => {
    setDecided(true);
    decide(approve);
  };
  return (
    <div className="narrow" data-testid="authorize">
      <PageHead
        title={`Let ${asked.clientName} in?`}
        lead={asked.organisationName === "" ? "An app of Reelmesh." : `An app of ${asked.organisationName}.`}
      />
      <ScopeList scopes={asked.scopes} />
      {asked.loginHint === "" ? null : (
        <p className="help">
          The app expects you to be <strong>{asked.loginHint}</strong>.
        </p>
      )}
      <div className="page-actions">
        {asked.signInNeeded ? (
          <Button look="primary" onClick={signInFirst} data-testid="sign-in-again">
            Sign in once more
          </Button>
        ) : (
          <Button look="primary" disabled={decided} onClick={say(true)} data-testid="approve">
            Let it in
          </Button>
        )}
        <Button disabled={decided} onClick={say(false)} data-testid="deny">
          Do not let it in
        </Button>
      </div>
      <p className="help">You can take this back in your account at any time.</p>
    </div>
  );
}
