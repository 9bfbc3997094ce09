import { timestampDate } from "@bufbuild/protobuf/wkt";
import type { Passkey } from "@gen/reelmesh/identity/v1/passkeys_pb";
import { useState, type ReactElement, type SyntheticEvent } from "react";

import { passkeys as client } from "../api/clients";
import { announce } from "../app/announcer";
import { browserOf } from "../session/browserOf";
import { addPasskey, passkeysWork } from "../session/passkeys";
import { useSending } from "../session/useSending";
import { Button } from "../ui/Button";
import { ago } from "../ui/format";
import { RefusalPanel } from "../ui/RefusalPanel";
import { Section } from "./Section";
import { usePages, type PageOf } from "./usePages";

async function fetchPage(pageToken: string): Promise<PageOf<Passkey>> {
  const { passkeys, nextPageToken } = await client.listPasskeys({ pageSize: 50, pageToken });
  return { items: passkeys, next: nextPageToken };
}

/** The person's passkeys. */
export function PasskeysSection(): ReactElement {
  const { items, refusal, hasMore, more, reload } = usePages(fetchPage);
  const adding = useSending();
  const add = async (): Promise<void> => {
    if (await adding.send(() => addPasskey(browserOf(navigator.userAgent)))) {
      announce("The passkey was added.");
      reload();
    }
  };
  const shown = adding.refusal ?? refusal;
  return (
    <Section title="Passkeys" lead="Sign in by your device's PIN, finger or face. Nobody can guess or phish a passkey.">
      {shown === null ? null : <RefusalPanel look="person" refusal={shown} />}
      {items === undefined || items.length === 0 ? null : (
        <ul className="rows" data-testid="passkeys">
          {items.map((passkey) => (
            <PasskeyRow key={passkey.passkeyId} passkey={passkey} onChanged={reload} />
          ))}
        </ul>
      )}
      {hasMore ? <Button onClick={more}>Show more</Button> : null}
      {passkeysWork() ? (
        <div className="form-end">
          <Button icon="passkey" disabled={adding.busy} data-testid="add-passkey" onClick={() => void add()}>
            {adding.busy ? "Answer your device…" : "Add a passkey"}
          </Button>
        </div>
      ) : (
        <p className="help">This browser cannot use passkeys here: it is too old, or the connection is not secure.</p>
      )}
    </Section>
  );
}

function PasskeyRow({ passkey, onChanged }: { passkey: Passkey; onChanged: () => void }): ReactElement {
  const [doing, setDoing] = useState<"nothing" | "rename" | "remove">("nothing");
  const { busy, refusal, send } = useSending();
  const { passkeyId, displayName, createTime, useTime, backedUp } = passkey;
  const change = async (work: () => Promise<unknown>, said: string): Promise<void> => {
    if (!(await send(work))) return;
    setDoing("nothing");
    announce(said);
    onChanged();
  };
  return (
    <li className="row" data-testid="passkey" data-passkey-id={passkeyId}>
      <div className="row-words">
        {doing === "rename" ? (
          <RenameForm
            name={displayName}
            busy={busy}
            onCancel={() => {
              setDoing("nothing");
            }}
            onName={(name) => void change(() => client.renamePasskey({ passkeyId, displayName: name }), "Renamed.")}
          />
        ) : (
          <h3>{displayName}</h3>
        )}
        <p className="facts">
          {createTime === undefined ? null : <span>added {ago(timestampDate(createTime))}</span>}
          <span>{useTime === undefined ? "never used" : `used ${ago(timestampDate(useTime))}`}</span>
          {backedUp ? <span>in a key ring that your devices share</span> : null}
        </p>
        {refusal === null ? null : <RefusalPanel look="person" refusal={refusal} />}
      </div>
      {doing === "remove" ? (
        <div className="controls">
          <Button
            look="danger"
            disabled={busy}
            data-testid="remove-passkey-sure"
            onClick={() => void change(() => client.deletePasskey({ passkeyId }), "The passkey was removed.")}
          >
            Remove for good
          </Button>
          <Button
            look="quiet"
            onClick={() => {
              setDoing("nothing");
            }}
          >
            Keep
          </Button>
        </div>
      ) : doing === "nothing" ? (
        <div className="controls">
          <Button
            look="quiet"
            aria-label={`Rename ${displayName}`}
            data-testid="rename-passkey"
            onClick={() => {
              setDoing("rename");
            }}
          >
            Rename
          </Button>
          <Button
            look="quiet"
            aria-label={`Remove ${displayName}`}
            data-testid="remove-passkey"
            onClick={() => {
              setDoing("remove");
            }}
          >
            Remove
          </Button>
        </div>
      ) : null}
    </li>
  );
}

interface RenameProps {
  readonly name: string;
  readonly busy: boolean;
  readonly onName: (name: string) => void;
  readonly onCancel: () => void;
}

function RenameForm({ name, busy, onName, onCancel }: RenameProps): ReactElement {
  const [next, setNext] = useState(name);
  const submit = (event: SyntheticEvent): void => {
    event.preventDefault();
    if (next.trim() !== "") onName(next.trim());
  };
  return (
    <form className="field-row" onSubmit={submit}>
      <input
        type="text"
        aria-label="Name of the passkey"
        maxLength={100}
        required
        // eslint-disable-next-line jsx-a11y/no-autofocus -- it takes the place of what was pressed
        autoFocus
        value={next}
        data-testid="passkey-name"
        onChange={(event) => {
          setNext(event.target.value);
        }}
        onKeyDown={(event) => {
          if (event.key === "Escape") onCancel();
        }}
      />
      <Button type="submit" look="plain" disabled={busy} data-testid="save-passkey-name">
        Save
      </Button>
    </form>
  );
}
