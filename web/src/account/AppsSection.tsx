import { timestampDate } from "@bufbuild/protobuf/wkt";
import type { Consent } from "@gen/reelmesh/identity/v1/oauth_pb";
import type { ReactElement } from "react";

import { oauth as client } from "../api/clients";
import { announce } from "../app/announcer";
import { ScopeList } from "../authorize/ScopeList";
import { useSending } from "../session/useSending";
import { Button } from "../ui/Button";
import { ago } from "../ui/format";
import { RefusalPanel } from "../ui/RefusalPanel";
import { appName } from "./apps";
import { Section } from "./Section";
import { TwoSteps } from "./TwoSteps";
import { usePages, type PageOf } from "./usePages";

async function fetchPage(pageToken: string): Promise<PageOf<Consent>> {
  const { consents, nextPageToken } = await client.listConsents({ pageSize: 20, pageToken });
  return { items: consents, next: nextPageToken };
}

/** What the person lets apps do. */
export function AppsSection(): ReactElement {
  const { items, refusal, hasMore, more, reload } = usePages(fetchPage);
  return (
    <Section title="Apps you let in" lead="An app that you put out is signed out at once, and must ask you again.">
      {refusal === null ? null : <RefusalPanel look="person" refusal={refusal} />}
      {items?.length === 0 ? (
        <p className="help" data-testid="no-consents">
          No app may act for you.
        </p>
      ) : (
        <ul className="rows" data-testid="consents">
          {items?.map((consent) => (
            <ConsentRow key={consent.clientId} consent={consent} onWithdrawn={reload} />
          ))}
        </ul>
      )}
      {hasMore ? <Button onClick={more}>Show more</Button> : null}
    </Section>
  );
}

function ConsentRow({ consent, onWithdrawn }: { consent: Consent; onWithdrawn: () => void }): ReactElement {
  const { busy, refusal, send } = useSending();
  const { clientId, clientName, scopes, grantTime } = consent;
  const name = appName(clientName);
  const withdraw = async (): Promise<void> => {
    if (!(await send(() => client.withdrawConsent({ clientId })))) return;
    announce(`${name} was put out.`);
    onWithdrawn();
  };
  return (
    <li className="row" data-testid="consent" data-client-id={clientId}>
      <div className="row-words">
        <h3>{name}</h3>
        <p className="facts">
          {grantTime === undefined ? null : <span>let in {ago(timestampDate(grantTime))}</span>}
          <span>{clientId}</span>
        </p>
        <ScopeList scopes={scopes} label={`What ${name} may do`} />
        {refusal === null ? null : <RefusalPanel look="person" refusal={refusal} />}
      </div>
      <TwoSteps
        label="Put out"
        about={name}
        sure="Put it out"
        busy={busy}
        testId="withdraw"
        onSure={() => void withdraw()}
      />
    </li>
  );
}
