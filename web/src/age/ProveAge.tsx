import type { AgeOption } from "@gen/reelmesh/compliance/v1/age_service_pb";
import { useEffect, useState, type ReactElement } from "react";

import { ages } from "../api/clients";
import { freshId } from "../api/correlation";
import { refusalOfCall, type Refusal } from "../api/refusal";
import { Button } from "../ui/Button";
import { RefusalPanel } from "../ui/RefusalPanel";
import { waysOf } from "./ways";

interface Props {
  /** Age in years that is to be proved. */
  readonly threshold: number;
  /** Methods that are accepted where the viewer is, separated by commas; empty for all. */
  readonly methods: string;
  /** Where the viewer goes on afterwards. */
  readonly returnPath: string;
}

/** The ways to prove an age, with a button for each. */
export function ProveAge({ threshold, methods, returnPath }: Props): ReactElement | null {
  const [options, setOptions] = useState<readonly AgeOption[]>();
  const [going, setGoing] = useState(false);
  const [refused, setRefused] = useState<Refusal | null>(null);
  useEffect(() => {
    let here = true;
    ages.getAgeOptions({}).then(
      (found) => {
        if (here) setOptions(waysOf(found.options, methods));
      },
      (error: unknown) => {
        if (here) setRefused(refusalOfCall(error));
      },
    );
    return () => {
      here = false;
    };
  }, [methods]);
  const prove = async ({ provider, method }: AgeOption): Promise<void> => {
    setGoing(true);
    setRefused(null);
    try {
      const { check } = await ages.startAgeCheck({ requestId: freshId(), provider, method, threshold, returnPath });
      if (check !== undefined) window.location.assign(check.url);
      // A link that opens another app leaves this page where it is.
      setGoing(false);
    } catch (error) {
      setRefused(refusalOfCall(error));
      setGoing(false);
    }
  };
  if (refused !== null) return <RefusalPanel look="person" refusal={refused} />;
  if (options?.length === 0) return <p>Nobody is set up here who could prove it. Ask whoever runs this platform.</p>;
  return (
    <>
      {(options ?? []).map((option) => (
        <Button
          key={`${option.provider} ${option.method}`}
          look="primary"
          disabled={going}
          data-testid="prove-age"
          data-method={option.method}
          onClick={() => void prove(option)}
        >
          {going ? "One moment…" : `Prove by ${option.title}`}
        </Button>
      ))}
    </>
  );
}
