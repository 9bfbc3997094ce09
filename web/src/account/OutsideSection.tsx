import { timestampDate } from "@bufbuild/protobuf/wkt";
import type { LinkedIdentity, SignInOption } from "@gen/reelmesh/identity/v1/sso_pb";
import { useEffect, useState, type ReactElement } from "react";

import { links as client, sso } from "../api/clients";
import { announce } from "../app/announcer";
import { useSending } from "../session/useSending";
import { begin } from "../sso/verifier";
import { Button } from "../ui/Button";
import { ago } from "../ui/format";
import { RefusalPanel } from "../ui/RefusalPanel";
import { linkable, providerName } from "./apps";
import { Section } from "./Section";
import { TwoSteps } from "./TwoSteps";
import { usePages, type PageOf } from "./usePages";

const MOST = 200;

async function fetchPage(pageToken: string): Promise<PageOf<LinkedIdentity>> {
  const { identities, nextPageToken } = await client.listLinkedIdentities({ pageSize: MOST, pageToken });
  return { items: identities, next: nextPageToken };
}

/** Providers that people can sign in at; none while it is not known. */
function useOptions(): readonly SignInOption[] {
  const [options, setOptions] = useState<readonly SignInOption[]>([]);
  useEffect(() => {
    const gone = new AbortController();
    sso.listSignInOptions({ pageSize: MOST }, { signal: gone.signal }).then(
      (found) => {
        setOptions(found.options);
      },
      () => undefined, // what is linked already is told by another call
    );
    return () => {
      gone.abort();
    };
  }, []);
  return options;
}

/** The outside providers at which the person can sign in. Nothing where there are none. */
export function OutsideSection(): ReactElement | null {
  const { items, refusal, hasMore, more, reload } = usePages(fetchPage);
  const linking = useSending();
  const options = linkable(useOptions(), items ?? []);
  const link = async (providerId: string): Promise<void> => {
    const { linkCode } = await client.beginIdentityLink({ providerId });
    window.location.assign(await begin(window.sessionStorage, providerId, "/account", linkCode));
  };
  const shown = linking.refusal ?? refusal;
  if (shown === null && options.length === 0 && (items ?? []).length === 0) return null;
  return (
    <Section title="Single sign-on" lead="Sign in with an account that you have elsewhere.">
      {shown === null ? null : <RefusalPanel look="person" refusal={shown} />}
      {items === undefined || items.length === 0 ? null : (
        <ul className="rows" data-testid="links">
          {items.map((identity) => (
            <LinkRow key={identity.providerId} identity={identity} onUnlinked={reload} />
          ))}
        </ul>
      )}
      {hasMore ? <Button onClick={more}>Show more</Button> : null}
      {items === undefined || options.length === 0 ? null : (
        <div className="form-end">
          {options.map(({ providerId, displayName }) => (
            <Button
              key={providerId}
              disabled={linking.busy}
              data-testid="link"
              onClick={() => void linking.send(() => link(providerId))}
            >
              Link with {displayName}
            </Button>
          ))}
        </div>
      )}
    </Section>
  );
}

function LinkRow({ identity, onUnlinked }: { identity: LinkedIdentity; onUnlinked: () => void }): ReactElement {
  const { busy, refusal, send } = useSending();
  const { providerId, email, linkTime } = identity;
  const name = providerName(identity.providerName);
  const unlink = async (): Promise<void> => {
    if (!(await send(() => client.unlinkIdentity({ providerId })))) return;
    announce(`Your account is not linked with ${name} any more.`);
    onUnlinked();
  };
  return (
    <li className="row" data-testid="linked" data-provider-id={providerId}>
      <div className="row-words">
        <h3>{name}</h3>
        <p className="facts">
          {email === "" ? null : <span>{email}</span>}
          {linkTime === undefined ? null : <span>linked {ago(timestampDate(linkTime))}</span>}
        </p>
        {refusal === null ? null : <RefusalPanel look="person" refusal={refusal} />}
      </div>
      <TwoSteps label="Unlink" about={name} sure="Unlink it" busy={busy} testId="unlink" onSure={() => void unlink()} />
    </li>
  );
}
