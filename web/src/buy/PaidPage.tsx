import { CheckoutState, type Checkout } from "@gen/reelmesh/payments/v1/checkouts_service_pb";
import { useEffect, useState, type ReactElement } from "react";

import { checkouts } from "../api/clients";
import { refusalOfCall, type Refusal } from "../api/refusal";
import { Link, navigate } from "../app/navigation";
import { PageHead } from "../app/PageHead";
import { safeNext } from "../session/next";
import { RefusalPanel } from "../ui/RefusalPanel";

const ASK_AGAIN_MS = 700;
/** How long a payment that was declined before may take to be told of as paid: until then nobody is told that it was not. */
const SETTLED_MS = 5_000;
/** How long the processor's word is waited for before people are told that it takes longer. */
const LONG_MS = 30_000;
const UNDECIDED = new Set([CheckoutState.OPEN, CheckoutState.DECLINED]);

/** Where people come back to from paying. They go on as soon as the processor has said that it is paid. */
export function PaidPage({ checkoutId }: { checkoutId: string }): ReactElement {
  const [checkout, setCheckout] = useState<Checkout>();
  const [refused, setRefused] = useState<Refusal | null>(null);
  const [waitedMs, setWaitedMs] = useState(0);
  useEffect(() => {
    let timer = 0;
    let here = true;
    const since = Date.now();
    const ask = async (): Promise<void> => {
      try {
        const { checkout: found } = await checkouts.getCheckout({ checkoutId });
        if (!here) return;
        setCheckout(found);
        if (found?.state === CheckoutState.PAID) navigate(safeNext(found.returnPath), { replace: true });
        else if (found !== undefined && UNDECIDED.has(found.state))
          timer = window.setTimeout(() => void ask(), ASK_AGAIN_MS);
        setWaitedMs(Date.now() - since);
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
  }, [checkoutId]);
  const early = checkout?.state === CheckoutState.DECLINED && waitedMs < SETTLED_MS;
  const state = early ? CheckoutState.OPEN : checkout?.state;
  return (
    <div className="narrow" data-testid="paid">
      <PageHead title={titleOf(state)} />
      {refused === null ? (
        <p role="status">{wordsFor(state, waitedMs > LONG_MS)}</p>
      ) : (
        <RefusalPanel refusal={refused} />
      )}
      {checkout === undefined ? null : (
        <p>
          <Link href={safeNext(checkout.returnPath)}>Back to where you came from</Link>
        </p>
      )}
    </div>
  );
}

function titleOf(state: CheckoutState | undefined): string {
  if (state === CheckoutState.DECLINED) return "Not paid";
  return state === CheckoutState.EXPIRED ? "Too late" : "Thank you";
}

function wordsFor(state: CheckoutState | undefined, long: boolean): string {
  if (state === CheckoutState.DECLINED) return "The payment was declined, and nothing was charged.";
  if (state === CheckoutState.EXPIRED) return "Nobody paid in time, and nothing was charged. You can buy again.";
  if (state === CheckoutState.RETURNED) return "The money went back to you.";
  return long
    ? "The payment is not confirmed yet. You can wait here, or go back: it is yours as soon as it is."
    : "Taking you back…";
}
