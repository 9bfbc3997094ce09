import type { Account } from "@gen/reelmesh/identity/v1/identity_pb";
import { useId, useState, type ReactElement, type SyntheticEvent } from "react";

import { account as client } from "../api/clients";
import { freshId } from "../api/correlation";
import { announce } from "../app/announcer";
import { learn } from "../session/account";
import { useSending } from "../session/useSending";
import { Button } from "../ui/Button";
import { Field } from "../ui/Field";
import { RefusalPanel } from "../ui/RefusalPanel";
import { Section } from "./Section";

const LANGUAGES = ["en", "de", "es", "fa", "fr", "it", "ja", "nl", "pl", "pt", "tr", "uk", "zh"];

/** Languages to choose from, with what they call themselves; the person's own is always among them. */
export function languagesFor(current: string): readonly (readonly [string, string])[] {
  const tags = current === "" || LANGUAGES.includes(current) ? LANGUAGES : [current, ...LANGUAGES];
  return tags.map((tag) => [tag, new Intl.DisplayNames([tag], { type: "language" }).of(tag) ?? tag]);
}

/** Name and language. */
export function ProfileSection({ account }: { account: Account }): ReactElement {
  const [displayName, setDisplayName] = useState(account.displayName);
  const [language, setLanguage] = useState(account.language === "" ? "en" : account.language);
  const [saved, setSaved] = useState(false);
  const sending = useSending("account.display_name");
  const id = useId();
  const submit = async (event: SyntheticEvent): Promise<void> => {
    event.preventDefault();
    const done = await sending.send(async () => {
      const changed = { displayName: displayName.trim(), language };
      const updateMask = { paths: ["display_name", "language"] };
      const answer = await client.updateAccount({ requestId: freshId(), account: changed, updateMask });
      learn(answer.account);
    });
    setSaved(done);
    if (done) announce("Saved.");
  };
  return (
    <Section title="Profile">
      {sending.refusal === null ? null : <RefusalPanel look="person" refusal={sending.refusal} />}
      <form className="form" onSubmit={(event) => void submit(event)} noValidate>
        <Field
          label="Name"
          type="text"
          autoComplete="name"
          maxLength={100}
          value={displayName}
          hint={sending.wrong("account.display_name")}
          data-testid="display-name"
          onChange={(value) => {
            setDisplayName(value);
            setSaved(false);
          }}
        />
        <div className="field">
          <label htmlFor={id}>Language of messages to you</label>
          <select
            id={id}
            value={language}
            data-testid="language"
            onChange={(event) => {
              setLanguage(event.target.value);
              setSaved(false);
            }}
          >
            {languagesFor(account.language).map(([tag, name]) => (
              <option key={tag} value={tag} lang={tag}>
                {name}
              </option>
            ))}
          </select>
        </div>
        <div className="form-end">
          <Button look="primary" type="submit" disabled={sending.busy} data-testid="save-profile">
            {sending.busy ? "Saving…" : "Save"}
          </Button>
          {saved ? <span className="saved">Saved</span> : null}
        </div>
      </form>
    </Section>
  );
}
