"""A state machine of payouts: whatever is sold, given back, prepared, approved by many at once, settled and void in whatever order, nobody is paid
what they have not, or twice."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass
from datetime import datetime, timedelta

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, consumes, initialize, invariant, multiple, rule, run_state_machine_as_test

from services.kit.clock import FixedClock
from services.kit.errors import Refusal
from services.kit.sealing import Seal
from services.kit.settings import ProcessSettings
from services.payments.ledger.domain import AccountKind
from services.payments.payouts import payees, store
from services.payments.payouts.bank_accounts import BankAccount
from services.payments.payouts.domain import Batch, Payee, Payout, PayoutState, TaxForm
from services.payments.payouts.payable import Asked
from services.payments.payouts.paying import Paying
from services.payments.sales.domain import Sale, Takeback
from services.payments.sales.recording import Order, Recording, Return
from services.payments.splits import store as splits
from services.payments.splits.domain import Price, Rules
from tests.payments.scene import T0
from tests.payments.test_machines import TRIED, Machine

HOLD = 7
CREATORS = ("ada", "ben", "cyd")
ACCOUNT = BankAccount("Somebody", "DE89370400440532013000", "", "")


@dataclass
class Sold:
    """A sale as the model has it."""

    creator: str
    left: int
    time: datetime


class PayoutMachine(Machine):
    """Three creators, and as many batches as there will be."""

    sales = Bundle("sales")
    batches = Bundle("batches")
    payouts = Bundle("payouts")

    def __init__(self) -> None:
        super().__init__()
        self.clock = FixedClock(T0)
        self.recording = Recording(self.clock)
        self.paying = Paying(self.clock)
        self.sold: dict[str, Sold] = {}
        self.paid: Counter[str] = Counter()
        self.settled: Counter[str] = Counter()

    @initialize()
    def open_the_desk(self) -> None:
        async def opened() -> None:
            async with self.database.transaction() as tx:
                rules = Rules(0, 0, 0, 0, fee_kept_on_refund=False, chargeback_fee_on_creators=False)
                version = await splits.add(tx, self.organisation_id, rules, "", T0)
                await splits.activate(tx, self.organisation_id, version, T0)
                for creator in CREATORS:
                    account_id = await payees.add_bank_account(
                        tx, Seal(bytes(32), "payments"), self.organisation_id, creator, ACCOUNT, changer="", now=T0
                    )
                    payee = Payee(creator, "", {}, HOLD, 0, TaxForm.VERIFIED, None, False, account_id, "…")
                    await payees.put(tx, self.organisation_id, payee, "", T0)

        self.run(opened())

    @rule(target=sales, creator=st.sampled_from(CREATORS), units=st.integers(1, 1000))
    def sell(self, creator: str, units: int) -> str:
        async def sold() -> Sale:
            async with self.database.transaction() as tx:
                price = Price(units, "p", ((creator, 1),))
                reference = self.reference()
                order = Order(self.organisation_id, reference, reference.encode(), price, "EUR", "", None, None)
                return await self.recording.sell(tx, order)

        sale_id = self.run(sold()).sale_id
        self.sold[sale_id] = Sold(creator, units, self.clock.now())
        return sale_id

    @rule(sale_id=sales, share=st.integers(1, 100), kind=st.sampled_from(Takeback))
    def give_back(self, sale_id: str, share: int, kind: Takeback) -> None:
        units = min(self.sold[sale_id].left, max(1, self.sold[sale_id].left * share // 100))
        if not units:
            return

        async def given() -> None:
            async with self.database.transaction() as tx:
                reference = self.reference()
                wanted = Return(
                    self.organisation_id, sale_id, kind, reference, reference.encode(), units, ("EUR",), revoke=False
                )
                await self.recording.give_back(tx, wanted)

        self.run(given())
        self.sold[sale_id].left -= units

    @rule(days=st.integers(1, 2 * HOLD))
    def wait(self, days: int) -> None:
        self.clock.advance(timedelta(days=days))

    def payable(self) -> dict[str, int]:
        """What each creator may be paid, by the model."""
        young = self.clock.now() - timedelta(days=HOLD)
        found = {}
        for creator in CREATORS:
            theirs = [sale for sale in self.sold.values() if sale.creator == creator]
            balance = sum(sale.left for sale in theirs) - self.paid[creator]
            found[creator] = balance - sum(sale.left for sale in theirs if sale.time > young)
        return found

    @rule(target=batches)
    def prepare(self) -> object:
        async def prepared() -> tuple[Batch, list[Payout]]:
            async with self.database.transaction() as tx:
                asked = Asked(self.organisation_id, "EUR", self.clock.now())
                batch = await self.paying.prepare(tx, asked, "ann")
                return batch, await store.of_batch(tx, batch.payout_batch_id)

        expected = {creator: units for creator, units in self.payable().items() if units > 0}
        if not expected:
            with pytest.raises(Refusal, match="NOTHING_PAYABLE"):
                self.run(prepared())
            return multiple()
        batch, made = self.run(prepared())
        assert {payout.creator_id: payout.minor_units for payout in made} == expected
        assert batch.total == sum(expected.values())
        return batch.payout_batch_id

    async def approve(self, payout_batch_id: str) -> list[Payout]:
        async with self.database.transaction() as tx:
            await self.paying.approve(tx, self.organisation_id, payout_batch_id, "bob")
            return await store.of_batch(tx, payout_batch_id)

    @rule(target=payouts, ids=st.lists(consumes(batches), min_size=1, max_size=4, unique=True))
    def approve_at_once(self, ids: list[str]) -> object:
        before = self.payable()
        outcomes = self.run(self.together(*(self.approve(one) for one in ids)))
        made = [payout for outcome in outcomes if not isinstance(outcome, Refusal) for payout in outcome]
        took: Counter[str] = Counter()
        for payout in made:
            took[payout.creator_id] += payout.minor_units
        for creator, units in took.items():
            assert units <= before[creator], "nobody is paid what they have not"
        self.paid.update(took)
        return multiple(*(payout.payout_id for payout in made))

    @rule(payout_id=consumes(payouts), ends=st.lists(st.sampled_from(["confirm", "void"]), min_size=1, max_size=3))
    def end_at_once(self, payout_id: str, ends: list[str]) -> None:
        async def end(how: str) -> Payout:
            async with self.database.transaction() as tx:
                if how == "confirm":
                    await self.paying.handed_over(tx, self.organisation_id, payout_id, "bank")
                    return await self.paying.confirm(tx, self.organisation_id, payout_id, "B", "bank")
                return await self.paying.void(tx, self.organisation_id, payout_id, "no", "ann")

        outcomes = self.run(self.together(*(end(how) for how in ends)))
        ended = [outcome for outcome in outcomes if not isinstance(outcome, Refusal)]
        assert len({payout.state for payout in ended}) == 1, "a payout ends once, and one way"
        payout = ended[0]
        if payout.state is PayoutState.VOID:
            self.paid[payout.creator_id] -= payout.minor_units
        else:
            self.settled[payout.creator_id] += payout.minor_units

    @invariant()
    def everybodys_money_is_somewhere(self) -> None:
        held = Counter({(a.kind, a.owner_id): units for a, units in self.run(self.held()).items()})
        for creator in CREATORS:
            earned = sum(sale.left for sale in self.sold.values() if sale.creator == creator)
            assert held[AccountKind.CREATOR_PENDING, creator] == earned - self.paid[creator]
            assert held[AccountKind.PAYOUT_SETTLED, creator] == self.settled[creator]
            assert held[AccountKind.PAYOUT_CLEARING, creator] == self.paid[creator] - self.settled[creator]


@pytest.mark.timeout(300)
async def test_nobody_is_paid_what_they_have_not_or_twice(mesh: ProcessSettings) -> None:
    here = mesh.model_copy(update={"database_pool": 8})
    made = type("PayoutMachine", (PayoutMachine,), {"here": here})
    await asyncio.to_thread(run_state_machine_as_test, made, settings=TRIED)
