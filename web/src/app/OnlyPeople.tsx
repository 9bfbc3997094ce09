import type { ReactElement } from "react";

import { credential } from "../session/current";
import { Button } from "../ui/Button";
import { PageHead } from "./PageHead";

/** Keys have no account: they act for an organisation. */
export function OnlyPeople(): ReactElement {
  return (
    <div className="narrow" data-testid="only-people">
      <PageHead
        title="You are here by an API key"
        lead="Keys have no account of their own. To see yours, put the key away in this tab and sign in."
      />
      <p>
        <Button look="primary" onClick={() => void credential.signOut()}>
          Put the key away
        </Button>
      </p>
    </div>
  );
}
