import type { Logout } from "@gen/reelmesh/identity/v1/oauth_pb";
import { useEffect, useState, type ReactElement } from "react";

import { oauth, refusing } from "../api/clients";
import { refusalOfCall, type Refusal } from "../api/refusal";
import { Link, navigate } from "../app/navigation";
import { PageHead } from "../app/PageHead";
import { useFragment } from "../authorize/arrival";
import { useAccount } from "../session/account";
import { credential, useSignedIn } from "../session/current";
import { useSending } from "../session/useSending";
import { Button } from "../ui/Button";
import { RefusalPanel } from "../ui/RefusalPanel";
import { stepOf } from "./step";

/** Ends the session here, and the app's. */
async function signOut(logout: string): Promise<void> {
  if (credential.state().who === "person") {
    try {
      await oauth.confirmLogout({ logout });
    } catch (error) {
      // The session may have ended with a call whose answer was lost.
      if (refusalOfCall(error).kind !== "credential") throw error;
    }
  }
  await credential.signOut();
}

/** Where an app sends people that it signed out: asks whether Reelmesh shall too, and sends them back. */
export function SignOutPage(): ReactElement {
  const logout = useFragment("logout");
  const { who } = useSignedIn();
  const [asked, setAsked] = useState<Logout | null>(null);
  const [refused, setRefused] = useState<Refusal | null>(null);
  const step = stepOf(asked, who);
  useEffect(() => {
    let here = true;
    refusing.findLogout({ logout }).then(
      (found) => {
        if (here) setAsked(found.logout ?? null);
      },
      (error: unknown) => {
        if (here) setRefused(refusalOfCall(error));
      },
    );
    return () => {
      here = false;
    };
  }, [logout]);
  useEffect(() => {
    if (step === "leave" && asked !== null) window.location.replace(asked.redirectUri);
  }, [step, asked]);
  if (refused !== null) {
    return (
      <div className="narrow">
        <PageHead title="Sign out" />
        <RefusalPanel look="person" refusal={refused} />
      </div>
    );
  }
  if (step === "out") {
    return (
      <div className="narrow" data-testid="signed-out">
        <PageHead title="You are signed out" lead="Of Reelmesh, in this browser." />
        <p>
          <Link href="/sign-in">Sign in again</Link>
        </p>
      </div>
    );
  }
  if (asked === null || step === "leave") return <p className="waiting">One moment…</p>;
  return <Question asked={asked} logout={logout} />;
}

function Question({ asked, logout }: { asked: Logout; logout: string }): ReactElement {
  const account = useAccount();
  const { busy, refusal, send } = useSending();
  const app = asked.clientName === "" ? "The app that you come from" : asked.clientName;
  const another = account !== null && asked.accountId !== "" && asked.accountId !== account.accountId;
  return (
    <div className="narrow" data-testid="leaving">
      <PageHead title="Sign out of Reelmesh too?" lead={`${app} has signed you out and asks.`} />
      {account === null ? null : (
        <p>
          You are signed in here as <strong>{account.email}</strong>
          {another ? ", which is not who you were in the app." : "."}
        </p>
      )}
      {refusal === null ? null : <RefusalPanel look="person" refusal={refusal} />}
      <div className="page-actions">
        <Button
          look="primary"
          disabled={busy}
          data-testid="sign-out-too"
          onClick={() => void send(() => signOut(logout))}
        >
          {busy ? "Signing out…" : "Sign out"}
        </Button>
        <Button
          disabled={busy}
          data-testid="stay"
          onClick={() => {
            navigate("/", { replace: true });
          }}
        >
          Stay signed in
        </Button>
      </div>
    </div>
  );
}
