import { useEffect, useState, type ReactElement } from "react";

import { sso } from "../api/clients";
import { freshId } from "../api/correlation";
import { refusal, refusalOfCall, type Refusal } from "../api/refusal";
import { Link, navigate } from "../app/navigation";
import { PageHead } from "../app/PageHead";
import { fragmentField } from "../authorize/arrival";
import { credential } from "../session/current";
import { RefusalPanel } from "../ui/RefusalPanel";
import { take } from "./verifier";

/** Ends the sign-in that brought the browser here. Returns where to go, or why it cannot go on. */
async function ended(hash: string): Promise<string | Refusal> {
  const begun = take(window.sessionStorage);
  const refused = fragmentField(hash, "refused");
  const code = fragmentField(hash, "sign_in");
  if (refused !== "" || begun === null || code === "") return refusal(refused === "" ? "SSO_FAILED" : refused);
  try {
    const { tokens } = await sso.redeemSignIn({ requestId: freshId(), code, verifier: begun.verifier });
    if (tokens !== undefined) credential.accept(tokens.accessToken);
    return begun.next;
  } catch (error) {
    return refusalOfCall(error);
  }
}

/** Where people come back to from an outside provider. */
export function SsoPage(): ReactElement {
  const [refused, setRefused] = useState<Refusal | null>(null);
  useEffect(() => {
    const { hash } = window.location;
    if (hash === "") return;
    window.history.replaceState(null, "", "/sso");
    void ended(hash).then((end) => {
      if (typeof end === "string") navigate(end, { replace: true });
      else setRefused(end);
    });
  }, []);
  if (refused === null) return <p className="waiting">One moment…</p>;
  return (
    <div className="narrow" data-testid="sso">
      <PageHead title="Sign in" />
      <RefusalPanel refusal={refused} />
      <p>
        <Link href="/">Begin again</Link>
      </p>
    </div>
  );
}
