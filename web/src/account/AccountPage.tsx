import { useEffect, type ReactElement } from "react";

import { account as client } from "../api/clients";
import { PageHead } from "../app/PageHead";
import { learn, nameOf, useAccount } from "../session/account";
import { credential } from "../session/current";
import { useSending } from "../session/useSending";
import { Button } from "../ui/Button";
import { RefusalPanel } from "../ui/RefusalPanel";
import { AppsSection } from "./AppsSection";
import { LeakActionsSection } from "./LeakActionsSection";
import { DataSection } from "./DataSection";
import { OutsideSection } from "./OutsideSection";
import { PasskeysSection } from "./PasskeysSection";
import { PasswordSection } from "./PasswordSection";
import { ProfileSection } from "./ProfileSection";
import { SessionsSection } from "./SessionsSection";

/** What people see to about themselves. */
export function AccountPage(): ReactElement {
  const account = useAccount();
  const { refusal, send } = useSending();
  useEffect(() => {
    void send(async () => {
      learn((await client.getAccount({})).account);
    });
  }, [send]);
  return (
    <div className="settings" data-testid="account">
      <PageHead
        title={account === null ? "Your account" : nameOf(account)}
        lead={account?.email}
        actions={
          <Button icon="sign-out" data-testid="account-sign-out" onClick={() => void credential.signOut()}>
            Sign out
          </Button>
        }
      />
      {refusal === null ? null : <RefusalPanel look="person" refusal={refusal} />}
      {account === null ? null : <ProfileSection key={account.accountId} account={account} />}
      <PasskeysSection />
      <PasswordSection email={account?.email ?? ""} />
      <OutsideSection />
      <AppsSection />
      <SessionsSection />
      <LeakActionsSection />
      <DataSection />
    </div>
  );
}
