"""Opens checkouts: an offer's price, an account, and the processor's page. The processor is called with no transaction open."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal

from services.kit.clock import Clock
from services.kit.database import Database, Tx
from services.kit.ids import new_id
from services.payments import refusals
from services.payments.checkouts import store
from services.payments.checkouts.domain import ASKED_AFTER, OPEN_FOR, TITLE_LENGTH, Checkout, CheckoutState
from services.payments.offers import store as offers
from services.payments.processors import contract
from services.payments.processors.accounts import Accounts, Working
from services.payments.processors.calling import Calling


@dataclass(frozen=True, slots=True)
class Wish:
    """What somebody wants to buy.

    Attributes:
        request_key: digest of the request, by which one that was cut off is taken up again.
        account_id: empty for the organisation's first.
        return_path: where the viewer goes back to.
    """

    organisation_id: str
    request_key: str
    viewer_id: str
    offer_id: str
    territory: str
    account_id: str
    return_path: str


class Opening:
    """Opens checkouts.

    Args:
        public_url: of this install, to which buyers return.
    """

    def __init__(
        self, database: Database, clock: Clock, accounts: Accounts, calling: Calling, *, public_url: str
    ) -> None:
        self._database = database
        self._clock = clock
        self._accounts = accounts
        self._calling = calling
        self._public_url = public_url.rstrip("/")

    async def begun(self, tx: Tx, wish: Wish) -> tuple[Checkout, Working]:
        """Keeps a checkout that has no page yet; the one that the same request made before, if it did.

        Raises:
            Refusal: `OFFER_NOT_FOUND` and whatever else `Offer.quoted` says, `NOTHING_TO_PAY`, `NO_PROCESSOR_ACCOUNT` or
                `PROCESSOR_ACCOUNT_NOT_FOUND`.
        """
        if before := await store.of_request(tx, wish.organisation_id, wish.request_key):
            return before, await self._accounts.of_organisation(tx, wish.organisation_id, before.account_id)
        now = self._clock.now()
        offer = await offers.find(tx, wish.organisation_id, wish.offer_id)
        if offer is None:
            raise refusals.offer_not_found(wish.offer_id)
        quote = offer.quoted(wish.territory, now)
        if quote.price is None:
            raise refusals.nothing_to_pay(wish.offer_id)
        working = await self._account(tx, wish)
        checkout = Checkout(
            checkout_id=new_id("chk"),
            organisation_id=wish.organisation_id,
            request_key=wish.request_key,
            viewer_id=wish.viewer_id,
            offer_id=offer.offer_id,
            offer_version=offer.version,
            territory=wish.territory,
            asset_id=offer.asset_id,
            title=offer.title[:TITLE_LENGTH],
            minor_units=quote.price.minor_units,
            currency=quote.price.currency,
            account_id=working.account.account_id,
            processor=working.kind.name,
            return_path=wish.return_path or "/",
            state=CheckoutState.OPEN,
            create_time=now,
            expire_time=now + OPEN_FOR,
        )
        await store.add(tx, checkout)
        return checkout, working

    async def _account(self, tx: Tx, wish: Wish) -> Working:
        if not wish.account_id:
            return await self._accounts.first(tx, wish.organisation_id)
        working = await self._accounts.of_organisation(tx, wish.organisation_id, wish.account_id)
        if working.disabled:
            raise refusals.no_processor_account()
        return working

    async def page(self, checkout: Checkout, working: Working) -> contract.HostedPage:
        """Has the processor make the page.

        Raises:
            Refusal: `PROCESSOR_UNAVAILABLE` or `PROCESSOR_REFUSED`.
        """
        asked = contract.Checkout(
            checkout_id=checkout.checkout_id,
            amount=checkout.amount,
            title=checkout.title,
            return_url=f"{self._public_url}/paid/{checkout.checkout_id}",
            cancel_url=self._public_url + checkout.return_path,
            notify_url=working.account.notify_url,
            expire_time=checkout.expire_time,
        )
        return await self._calling.open_checkout(working, asked)

    async def opened(self, tx: Tx, checkout: Checkout, page: contract.HostedPage) -> Checkout:
        """Keeps the page of a checkout; unless it is paid by now."""
        kept = await store.find(tx, checkout.organisation_id, checkout.checkout_id, for_update=True)
        assert kept is not None
        if kept.state is CheckoutState.PAID:
            return kept
        kept = replace(
            kept,
            page=_written(page.url, page.method, dict(page.fields)),
            page_reference=page.reference,
            ask_time=_first_asked(self._clock.now(), page),
        )
        await store.put(tx, kept)
        return kept


def _first_asked(now: datetime, page: contract.HostedPage) -> datetime | None:
    return now + ASKED_AFTER if page.reference else None


def _written(url: str, method: Literal["GET", "POST"], form: dict[str, str]) -> dict[str, object]:
    return {"url": url, "method": method, "fields": form}
