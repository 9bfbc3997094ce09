import { timestampDate } from "@bufbuild/protobuf/wkt";
import { SignInMethod, type Session } from "@gen/reelmesh/identity/v1/identity_pb";
import { useState, type ReactElement } from "react";

import { account as client } from "../api/clients";
import { announce } from "../app/announcer";
import { browserOf } from "../session/browserOf";
import { useSending } from "../session/useSending";
import { Button } from "../ui/Button";
import { ago } from "../ui/format";
import { RefusalPanel } from "../ui/RefusalPanel";
import { Section } from "./Section";
import { usePages, type PageOf } from "./usePages";

const METHODS: Readonly<Record<SignInMethod, string>> = {
  [SignInMethod.UNSPECIFIED]: "",
  [SignInMethod.PASSWORD]: "by password",
  [SignInMethod.CODE]: "by code",
  [SignInMethod.PASSKEY]: "by passkey",
  [SignInMethod.SSO]: "by single sign-on",
  [SignInMethod.OAUTH]: "by an app that you allowed",
};

async function fetchPage(pageToken: string): Promise<PageOf<Session>> {
  const { sessions, nextPageToken } = await client.listSessions({ pageSize: 20, pageToken });
  return { items: sessions, next: nextPageToken };
}

/** Where the person is signed in. */
export function SessionsSection(): ReactElement {
  const { items, refusal, hasMore, more, reload } = usePages(fetchPage);
  return (
    <Section title="Where you are signed in" lead="End what you do not know, and change your password.">
      {refusal === null ? null : <RefusalPanel look="person" refusal={refusal} />}
      <ul className="rows" data-testid="sessions">
        {items?.map((session) => (
          <SessionRow key={session.sessionId} session={session} onEnded={reload} />
        ))}
      </ul>
      {hasMore ? <Button onClick={more}>Show more</Button> : null}
    </Section>
  );
}

function SessionRow({ session, onEnded }: { session: Session; onEnded: () => void }): ReactElement {
  const { busy, refusal, send } = useSending();
  const [ended, setEnded] = useState(false);
  const name = session.userAgent === "" ? "Unknown program" : browserOf(session.userAgent);
  const end = async (): Promise<void> => {
    if (await send(() => client.revokeSession({ sessionId: session.sessionId }))) {
      setEnded(true);
      announce(`The session of ${name} was ended.`);
      onEnded();
    }
  };
  return (
    <li className="row" data-testid="session" data-current={session.current}>
      <div className="row-words">
        <h3>
          {name} {session.current ? <span className="tag">This one</span> : null}
        </h3>
        <p className="facts">
          {session.createTime === undefined ? null : (
            <span>
              Signed in {METHODS[session.method]} {ago(timestampDate(session.createTime))}
            </span>
          )}
          {session.refreshTime === undefined ? null : <span>used {ago(timestampDate(session.refreshTime))}</span>}
          {session.network === "" ? null : <span>from {session.network}</span>}
        </p>
        {refusal === null ? null : <RefusalPanel look="person" refusal={refusal} />}
      </div>
      {session.current ? null : (
        <Button
          look="quiet"
          disabled={busy || ended}
          aria-label={`End the session of ${name}`}
          data-testid="end-session"
          onClick={() => void end()}
        >
          {ended ? "Ended" : "End"}
        </Button>
      )}
    </li>
  );
}
