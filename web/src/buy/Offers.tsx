import { OfferKind, type Quote } from "@gen/reelmesh/payments/v1/offers_service_pb";
import { useEffect, useState, type ReactElement } from "react";

import { checkouts, offers } from "../api/clients";
import { freshId } from "../api/correlation";
import { refusalOfCall, type Refusal } from "../api/refusal";
import { watchPath } from "../app/routes";
import { Button } from "../ui/Button";
import { RefusalPanel } from "../ui/RefusalPanel";
import { goAndPay } from "./goAndPay";
import { priceText, territoryOf } from "./price";

const VERBS: Partial<Record<OfferKind, string>> = { [OfferKind.RENTAL]: "Rent", [OfferKind.PURCHASE]: "Buy" };

/** What can be bought to watch an asset, with a button for each. */
export function Offers({ assetId }: { assetId: string }): ReactElement | null {
  const [quotes, setQuotes] = useState<readonly Quote[]>([]);
  const [buying, setBuying] = useState(false);
  const [refused, setRefused] = useState<Refusal | null>(null);
  const territory = territoryOf(navigator.language);
  useEffect(() => {
    let here = true;
    offers.listOffersForAsset({ assetId, territory }).then(
      (found) => {
        if (here) setQuotes(found.quotes.filter((quote) => quote.price !== undefined));
      },
      (error: unknown) => {
        if (here) setRefused(refusalOfCall(error));
      },
    );
    return () => {
      here = false;
    };
  }, [assetId, territory]);
  const buy = async (quote: Quote): Promise<void> => {
    setBuying(true);
    setRefused(null);
    try {
      const wish = { requestId: freshId(), offerId: quote.offerId, territory, returnPath: watchPath(assetId) };
      const { checkout } = await checkouts.createCheckout(wish);
      if (checkout?.page !== undefined) goAndPay(checkout.page);
    } catch (error) {
      setRefused(refusalOfCall(error));
      setBuying(false);
    }
  };
  if (refused !== null) return <RefusalPanel look="person" refusal={refused} />;
  return (
    <>
      {quotes.map((quote) => (
        <Button
          key={quote.offerId}
          look="primary"
          disabled={buying}
          data-testid="buy"
          onClick={() => void buy(quote)}
          title={quote.title}
        >
          {buying ? "One moment…" : `${VERBS[quote.kind] ?? "Get"} for ${quote.price ? priceText(quote.price) : ""}`}
        </Button>
      ))}
    </>
  );
}
