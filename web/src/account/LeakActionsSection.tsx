import { timestampDate } from "@bufbuild/protobuf/wkt";
import { LeakActionState, type LeakAction } from "@gen/reelmesh/protection/v1/leaks_service_pb";
import { useState, type ReactElement, type SyntheticEvent } from "react";

import { leaks as client } from "../api/clients";
import { announce } from "../app/announcer";
import { useSending } from "../session/useSending";
import { Button } from "../ui/Button";
import { Field } from "../ui/Field";
import { ago } from "../ui/format";
import { RefusalPanel } from "../ui/RefusalPanel";
import { Section } from "./Section";
import { usePages, type PageOf } from "./usePages";

async function fetchPage(pageToken: string): Promise<PageOf<LeakAction>> {
  const { actions, nextPageToken } = await client.listOwnLeakActions({ pageSize: 20, pageToken });
  return { items: actions, next: nextPageToken };
}

/** What was done to the person because of leaked copies, and their appeal. Nothing is shown where nothing was done. */
export function LeakActionsSection(): ReactElement | null {
  const { items, refusal, hasMore, more, reload } = usePages(fetchPage);
  if (refusal === null && (items?.length ?? 0) === 0) return null;
  return (
    <Section title="Leaked copies" lead="What was done because a copy that was found is thought to be yours.">
      {refusal === null ? null : <RefusalPanel look="person" refusal={refusal} />}
      <ul className="rows" data-testid="leak-actions">
        {items?.map((action) => (
          <ActionRow key={action.actionId} action={action} onAppealed={reload} />
        ))}
      </ul>
      {hasMore ? <Button onClick={more}>Show more</Button> : null}
    </Section>
  );
}

function standing({ state, appeal }: LeakAction): string {
  if (state === LeakActionState.REVERSED) return "taken back";
  if (state === LeakActionState.EXPIRED) return "over";
  if (appeal === undefined) return "holds";
  return appeal.decideTime === undefined ? "you appealed; somebody looks at it" : "your appeal was not upheld";
}

function ActionRow({ action, onAppealed }: { action: LeakAction; onAppealed: () => void }): ReactElement {
  const { actionId, explanation, createTime, appeal, state } = action;
  const open = state === LeakActionState.APPROVED && appeal === undefined;
  return (
    <li className="row" data-testid="leak-action" data-action-id={actionId}>
      <div className="row-words">
        <p>{explanation}</p>
        <p className="facts">
          {createTime === undefined ? null : <span>{ago(timestampDate(createTime))}</span>}
          <span>{standing(action)}</span>
        </p>
        {appeal === undefined || appeal.comment === "" ? null : <p className="help">{appeal.comment}</p>}
        {open ? <AppealForm actionId={actionId} onAppealed={onAppealed} /> : null}
      </div>
    </li>
  );
}

function AppealForm({ actionId, onAppealed }: { actionId: string; onAppealed: () => void }): ReactElement {
  const [text, setText] = useState("");
  const { busy, refusal, wrong, send } = useSending("text");
  const submit = (event: SyntheticEvent): void => {
    event.preventDefault();
    void send(async () => {
      await client.appealLeakAction({ actionId, text });
      announce("You appealed.");
      onAppealed();
    });
  };
  return (
    <form onSubmit={submit}>
      {refusal === null ? null : <RefusalPanel look="person" refusal={refusal} />}
      <Field
        label="Why this is wrong"
        required
        maxLength={4000}
        value={text}
        hint={wrong("text")}
        help="Somebody who had no part in the decision looks at it."
        data-testid="appeal-text"
        onChange={setText}
      />
      <Button type="submit" disabled={busy} data-testid="appeal">
        Appeal
      </Button>
    </form>
  );
}
