import { useState, type ReactElement, type SyntheticEvent } from "react";

import { account as client } from "../api/clients";
import { announce } from "../app/announcer";
import { useSending } from "../session/useSending";
import { Button } from "../ui/Button";
import { PasswordField, UsernameAnchor } from "../ui/Field";
import { RefusalPanel } from "../ui/RefusalPanel";
import { Section } from "./Section";

/** Changes the password. */
export function PasswordSection({ email }: { email: string }): ReactElement {
  const [oldPassword, setOld] = useState("");
  const [newPassword, setNew] = useState("");
  const [saved, setSaved] = useState(false);
  const sending = useSending("old_password", "new_password");
  const submit = async (event: SyntheticEvent): Promise<void> => {
    event.preventDefault();
    setSaved(false);
    if (oldPassword === "") sending.refuse("old_password", "Enter your password as it is.");
    else if (newPassword.length < 10) sending.refuse("new_password", "Use 10 characters or more.");
    else if (await sending.send(() => client.changePassword({ oldPassword, newPassword }))) {
      setOld("");
      setNew("");
      setSaved(true);
      announce("Your password was changed.");
    }
  };
  return (
    <Section title="Password" lead="Changing it signs you out everywhere else.">
      {sending.refusal === null ? null : <RefusalPanel look="person" refusal={sending.refusal} />}
      <form className="form" onSubmit={(event) => void submit(event)} noValidate>
        <UsernameAnchor value={email} />
        <PasswordField
          label="Password as it is"
          autoComplete="current-password"
          value={oldPassword}
          hint={sending.wrong("old_password")}
          data-testid="old-password"
          onChange={setOld}
        />
        <PasswordField
          label="New password"
          autoComplete="new-password"
          value={newPassword}
          hint={sending.wrong("new_password")}
          help="10 characters or more."
          data-testid="new-password"
          onChange={setNew}
        />
        <div className="form-end">
          <Button type="submit" disabled={sending.busy} data-testid="change-password">
            {sending.busy ? "Changing…" : "Change password"}
          </Button>
          {saved ? <span className="saved">Changed</span> : null}
        </div>
      </form>
    </Section>
  );
}
