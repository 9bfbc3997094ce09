import type { DeviceAuthorization } from "@gen/reelmesh/identity/v1/oauth_pb";
import { useEffect, useState, type ReactElement, type SyntheticEvent } from "react";

import { oauth } from "../api/clients";
import { refusalOfCall, type Refusal } from "../api/refusal";
import { PageHead } from "../app/PageHead";
import { signInFirst, useFragment } from "../authorize/arrival";
import { ScopeList } from "../authorize/ScopeList";
import { useCredential } from "../session/current";
import { Button } from "../ui/Button";
import { RefusalPanel } from "../ui/RefusalPanel";

/** Lets a television in whose code the person types, or brings along in the address that the television shows. */
export function ActivatePage(): ReactElement {
  const brought = useFragment("user_code");
  const { key } = useCredential();
  const [device, setDevice] = useState<DeviceAuthorization | null>(null);
  const [approved, setApproved] = useState<boolean | null>(null);
  const [refused, setRefused] = useState<Refusal | null>(null);

  useEffect(() => {
    if (key === "") signInFirst();
  }, [key]);

  const attempt = (work: Promise<void>): void => {
    setRefused(null);
    work.catch((error: unknown) => {
      setRefused(refusalOfCall(error));
    });
  };
  const find = async (userCode: string): Promise<void> => {
    const { deviceAuthorization } = await oauth.findDeviceAuthorization({ userCode });
    setDevice(deviceAuthorization ?? null);
  };
  const decide = async (deviceAuthorizationId: string, approve: boolean): Promise<void> => {
    await oauth.answerDeviceAuthorization({ deviceAuthorizationId, approve });
    setApproved(approve);
  };

  if (key === "") return <p className="waiting">One moment…</p>;
  return (
    <div className="narrow" data-testid="activate">
      <PageHead title="Let a device in" lead="For televisions and other devices that show a code." />
      {refused === null ? null : <RefusalPanel refusal={refused} />}
      {approved !== null ? (
        <p role="status" data-testid="device-answered">
          {approved ? "The device is signed in. You can go back to it." : "The device was not let in."}
        </p>
      ) : device === null ? (
        <CodeForm
          brought={brought}
          onCode={(code) => {
            attempt(find(code));
          }}
        />
      ) : (
        <Question
          device={device}
          onAnswer={(approve) => {
            attempt(decide(device.deviceAuthorizationId, approve));
          }}
        />
      )}
    </div>
  );
}

function CodeForm({ brought, onCode }: { brought: string; onCode: (code: string) => void }): ReactElement {
  const [code, setCode] = useState(brought);
  const submit = (event: SyntheticEvent): void => {
    event.preventDefault();
    onCode(code.trim());
  };
  return (
    <form className="sign-in" onSubmit={submit}>
      <label htmlFor="user-code">Code on the device</label>
      <div className="field-row">
        <input
          id="user-code"
          autoComplete="off"
          autoCapitalize="characters"
          spellCheck={false}
          minLength={8}
          maxLength={20}
          required
          value={code}
          placeholder="BCDF-GHJK"
          data-testid="user-code"
          aria-describedby="user-code-help"
          onChange={(event) => {
            setCode(event.target.value);
          }}
        />
        <Button look="primary" type="submit" data-testid="find-device">
          Continue
        </Button>
      </div>
      <p id="user-code-help" className="help">
        Only go on if you see this code on a device in front of you. Nobody else needs it.
      </p>
    </form>
  );
}

function Question({
  device,
  onAnswer,
}: {
  device: DeviceAuthorization;
  onAnswer: (approve: boolean) => void;
}): ReactElement {
  return (
    <section className="device" aria-labelledby="device-name" data-testid="device">
      <h2 id="device-name">{device.clientName}</h2>
      {device.organisationName === "" ? null : <p>An app of {device.organisationName}.</p>}
      <ScopeList scopes={device.scopes} />
      <p className="help">
        It asks from the network {device.network === "" ? "of this machine" : device.network}. If that is not where the
        device is, do not let it in.
      </p>
      <div className="page-actions">
        <Button
          look="primary"
          data-testid="approve"
          onClick={() => {
            onAnswer(true);
          }}
        >
          Let it in
        </Button>
        <Button
          data-testid="deny"
          onClick={() => {
            onAnswer(false);
          }}
        >
          Do not let it in
        </Button>
      </div>
    </section>
  );
}
