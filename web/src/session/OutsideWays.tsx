import type { SignInOption } from "@gen/reelmesh/identity/v1/sso_pb";
import { useEffect, useState, type ReactElement } from "react";

import { sso } from "../api/clients";
import { begin } from "../sso/verifier";
import { Button } from "../ui/Button";
import { safeNext } from "./next";
import type { Sending } from "./useSending";

const MOST = 200;

/** Outside providers at which people can sign in; nothing while there are none, or it is not known. */
export function OutsideWays({ sending, next }: { sending: Sending; next: string }): ReactElement {
  const [options, setOptions] = useState<readonly SignInOption[]>([]);
  useEffect(() => {
    const gone = new AbortController();
    sso.listSignInOptions({ pageSize: MOST }, { signal: gone.signal }).then(
      (found) => {
        setOptions(found.options);
      },
      () => undefined, // people can still come in by the other ways
    );
    return () => {
      gone.abort();
    };
  }, []);
  const leave = async (providerId: string): Promise<void> => {
    window.location.assign(await begin(window.sessionStorage, providerId, safeNext(next)));
  };
  return (
    <>
      {options.map(({ providerId, displayName }) => (
        <Button
          key={providerId}
          disabled={sending.busy}
          data-testid="outside-sign-in"
          onClick={() => void sending.send(() => leave(providerId))}
        >
          Sign in with {displayName}
        </Button>
      ))}
    </>
  );
}
