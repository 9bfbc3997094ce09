import { useState, type ReactElement } from "react";

import { productions } from "../api/clients";
import { PageHead } from "../app/PageHead";
import { useFragment } from "../authorize/arrival";
import { useSending } from "../session/useSending";
import { Button } from "../ui/Button";
import { RefusalPanel } from "../ui/RefusalPanel";

/** Where a performer takes back their consent to a production: with the link that they were given, and without an account. */
export function WithdrawPage(): ReactElement {
  const token = useFragment("token");
  const { busy, refusal, send } = useSending();
  const [done, setDone] = useState(false);
  if (done) {
    return (
      <div className="narrow" data-testid="consent-withdrawn">
        <PageHead
          title="Your consent is taken back"
          lead="The production cannot be watched any more, here or anywhere."
        />
        <p>You can give it again only by signing a new release.</p>
      </div>
    );
  }
  if (token === "") {
    return (
      <div className="narrow" data-testid="withdraw-no-link">
        <PageHead title="Take your consent back" />
        <p>Open the whole link that you were given for this production, or ask whoever gave it to you for a new one.</p>
      </div>
    );
  }
  return (
    <div className="narrow" data-testid="withdraw-consent">
      <PageHead
        title="Take your consent back?"
        lead="For the production that you got this link for. It stops at once for everybody who watches it."
      />
      {refusal === null ? null : <RefusalPanel look="person" refusal={refusal} />}
      <div className="page-actions">
        <Button
          look="danger"
          disabled={busy}
          data-testid="withdraw"
          onClick={() =>
            void send(() => productions.withdrawConsentByToken({ token })).then((well) => {
              setDone(well);
            })
          }
        >
          {busy ? "Taking it back…" : "Take it back"}
        </Button>
      </div>
    </div>
  );
}
