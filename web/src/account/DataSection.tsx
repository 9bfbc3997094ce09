import { timestampDate } from "@bufbuild/protobuf/wkt";
import { DataRequestKind, DataRequestState, type DataRequest } from "@gen/reelmesh/compliance/v1/rights_pb";
import { useState, type ReactElement } from "react";

import { rights as client } from "../api/clients";
import { freshId } from "../api/correlation";
import type { Refusal } from "../api/refusal";
import { announce } from "../app/announcer";
import { credential } from "../session/current";
import { useSending } from "../session/useSending";
import { Button } from "../ui/Button";
import { RefusalPanel } from "../ui/RefusalPanel";
import { Section } from "./Section";
import { usePages, type PageOf } from "./usePages";

const ASKED: Readonly<Record<DataRequestKind, string>> = {
  [DataRequestKind.UNSPECIFIED]: "",
  [DataRequestKind.ACCESS]: "A copy of your data",
  [DataRequestKind.ERASURE]: "Deletion of your account",
  [DataRequestKind.RESTRICTION]: "Restriction of processing",
  [DataRequestKind.OBJECTION]: "Objection",
};
const STATES: Readonly<Record<DataRequestState, string>> = {
  [DataRequestState.UNSPECIFIED]: "",
  [DataRequestState.AWAITING_PROOF]: "waits for your code",
  [DataRequestState.OPEN]: "is open",
  [DataRequestState.HELD]: "has to wait, because a law or a court wants it kept for now",
  [DataRequestState.RUNNING]: "is being done",
  [DataRequestState.COMPLETED]: "is done",
  [DataRequestState.REFUSED]: "was refused",
  [DataRequestState.EXPIRED]: "was given up",
};

async function fetchPage(pageToken: string): Promise<PageOf<DataRequest>> {
  const { dataRequests, nextPageToken } = await client.listOwnDataRequests({ pageSize: 20, pageToken });
  return { items: dataRequests, next: nextPageToken };
}

/** Asks for a copy, takes it, and hands it to the browser as a file. */
async function download(): Promise<void> {
  const { dataRequest } = await client.createOwnDataRequest({ requestId: freshId(), kind: DataRequestKind.ACCESS });
  const parts: BlobPart[] = [];
  for await (const { body } of client.getOwnData({ dataRequestId: dataRequest?.dataRequestId ?? "" })) {
    if (body !== undefined) parts.push(new Uint8Array(body.data));
  }
  const address = URL.createObjectURL(new Blob(parts, { type: "application/zip" }));
  const link = document.createElement("a");
  link.href = address;
  link.download = "my-data.zip";
  link.click();
  URL.revokeObjectURL(address);
}

/** What people may ask about their data: a copy of it, and that it goes. */
export function DataSection(): ReactElement {
  const { items, refusal, hasMore, more, reload } = usePages(fetchPage);
  const taking = useSending();
  const leaving = useSending();
  const [sure, setSure] = useState(false);
  const take = async (): Promise<void> => {
    if (await taking.send(download)) announce("Your data was downloaded.");
    reload();
  };
  const leave = async (): Promise<void> => {
    const erase = (): Promise<unknown> =>
      client.createOwnDataRequest({ requestId: freshId(), kind: DataRequestKind.ERASURE });
    if (!(await leaving.send(erase))) return;
    setSure(false);
    announce("Your account is being deleted.");
    reload();
  };
  const shown = taking.refusal ?? leaving.refusal ?? refusal;
  return (
    <Section
      title="Your data"
      lead="Take home everything that is kept about you, or have it deleted with your account. Invoices stay for as long as the law asks."
    >
      {shown === null ? null : <Refused refusal={shown} />}
      {items === undefined || items.length === 0 ? null : (
        <ul className="rows" data-testid="data-requests">
          {items.map((request) => (
            <RequestRow key={request.dataRequestId} request={request} />
          ))}
        </ul>
      )}
      {hasMore ? <Button onClick={more}>Show more</Button> : null}
      <div className="form-end">
        <Button icon="download" disabled={taking.busy} data-testid="download-data" onClick={() => void take()}>
          {taking.busy ? "Gathering…" : "Download my data"}
        </Button>
        {sure ? (
          <>
            <Button
              look="danger"
              disabled={leaving.busy}
              data-testid="delete-account-sure"
              onClick={() => void leave()}
            >
              Delete everything for good
            </Button>
            <Button
              look="quiet"
              onClick={() => {
                setSure(false);
              }}
            >
              Keep my account
            </Button>
          </>
        ) : (
          <Button
            look="quiet"
            data-testid="delete-account"
            onClick={() => {
              setSure(true);
            }}
          >
            Delete my account
          </Button>
        )}
      </div>
    </Section>
  );
}

/** Whoever signed in long ago is led to do so again: who found an open page must not take everything. */
function Refused({ refusal }: { refusal: Refusal }): ReactElement {
  const again =
    refusal.reason === "SIGN_IN_TOO_OLD" ? (
      <Button data-testid="sign-in-again" onClick={() => void credential.signOut()}>
        Sign in again
      </Button>
    ) : undefined;
  return <RefusalPanel look="person" refusal={refusal} actions={again} />;
}

function RequestRow({ request }: { request: DataRequest }): ReactElement {
  return (
    <li className="row" data-testid="data-request" data-state={DataRequestState[request.state]}>
      <div className="row-words">
        <h3>{ASKED[request.kind]}</h3>
        <p className="facts">
          <span>{STATES[request.state]}</span>
          {request.receiveTime === undefined ? null : (
            <span>asked on {timestampDate(request.receiveTime).toLocaleDateString()}</span>
          )}
          {request.endTime !== undefined || request.dueTime === undefined ? null : (
            <span>answered by {timestampDate(request.dueTime).toLocaleDateString()}</span>
          )}
          {request.refuseReason === "" ? null : <span>{request.refuseReason}</span>}
        </p>
      </div>
    </li>
  );
}
