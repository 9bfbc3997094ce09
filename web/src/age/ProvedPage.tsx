import { AgeCheckState, type AgeCheck } from "@gen/reelmesh/compliance/v1/age_service_pb";
import { useEffect, useState, type ReactElement } from "react";

import { ages } from "../api/clients";
import { refusalOfCall, type Refusal } from "../api/refusal";
import { Link, navigate } from "../app/navigation";
import { PageHead } from "../app/PageHead";
import { safeNext } from "../session/next";
import { RefusalPanel } from "../ui/RefusalPanel";

const ASK_AGAIN_MS = 700;

/** Where people come back to from proving their age. They go on as soon as the provider has said what came out. */
export function ProvedPage({ ageCheckId }: { ageCheckId: string }): ReactElement {
  const [check, setCheck] = useState<AgeCheck>();
  const [refused, setRefused] = useState<Refusal | null>(null);
  useEffect(() => {
    let timer = 0;
    let here = true;
    const ask = async (): Promise<void> => {
      try {
        const { check: found } = await ages.getAgeCheck({ ageCheckId });
        if (!here) return;
        setCheck(found);
        if (found?.state === AgeCheckState.PASSED) navigate(safeNext(found.returnPath), { replace: true });
        else if (found?.state === AgeCheckState.OPEN) timer = window.setTimeout(() => void ask(), ASK_AGAIN_MS);
      } catch (error) {
        if (!here) return;
        const found = refusalOfCall(error);
        if (found.kind === "transient") timer = window.setTimeout(() => void ask(), ASK_AGAIN_MS);
        else setRefused(found);
      }
    };
    void ask();
    return () => {
      here = false;
      window.clearTimeout(timer);
    };
  }, [ageCheckId]);
  return (
    <div className="narrow" data-testid="proved">
      <PageHead title={check?.state === AgeCheckState.FAILED ? "Not proved" : "Your age"} />
      {refused === null ? <p role="status">{wordsFor(check)}</p> : <RefusalPanel refusal={refused} />}
      {check === undefined ? null : (
        <p>
          <Link href={safeNext(check.returnPath)}>Back to where you came from</Link>
        </p>
      )}
    </div>
  );
}

function wordsFor(check: AgeCheck | undefined): string {
  switch (check?.state) {
    case AgeCheckState.FAILED:
      return WORDS[check.failure] ?? "Your age was not proved. You can try another way.";
    case AgeCheckState.EXPIRED:
      return "Nothing was proved in time. You can begin again.";
    default:
      return "Waiting for what the provider says…";
  }
}

const WORDS: Readonly<Record<string, string>> = {
  refused: "The provider says that you are not old enough, or you did not want to prove it.",
  unsure: "The provider cannot tell your age. You can try another way.",
  unfit: "What you showed does not prove an age. You can try another way.",
};
