"""State machines: whatever is posted, sold and given back in whatever order, by one or by many at once, the real Postgres holds what a simple
model says, and verification finds nothing."""

from __future__ import annotations

import asyncio
import hashlib
from collections import Counter
from collections.abc import Coroutine, Sequence
from typing import Any, TypeVar

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    multiple,
    precondition,
    rule,
    run_state_machine_as_test,
)
from reelmesh.payments.v1 import events_pb2, payments_pb2

from services.kit.clock import FixedClock
from services.kit.database import Database, Tx
from services.kit.errors import Refusal
from services.kit.ids import new_id
from services.kit.settings import ProcessSettings
from services.payments.ledger import store as ledger
from services.payments.ledger.domain import Account, AccountKind, Direction, Draft, EntryKind, Posting
from services.payments.ledger.store import Posted
from services.payments.ledger.verification import verified
from services.payments.sales import store as sales
from services.payments.sales.domain import Sale, Takeback
from services.payments.sales.recording import Order, Recording, Return
from services.payments.splits import store as splits
from services.payments.splits.domain import Price, Rules
from tests.payments.scene import T0
from tests.support.examples import fuzzed, so_many

Result = TypeVar("Result")
TRIED = settings(fuzzed(5, long=200), stateful_step_count=20)


class Machine(RuleBasedStateMachine):
    """What both have: a loop and a database of their own in the machine's thread, and an organisation that nobody else has."""

    here: ProcessSettings

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.database = Database.of("payments", self.here)
        self.organisation_id = new_id("org")
        self.references = 0

    def run(self, work: Coroutine[Any, Any, Result]) -> Result:
        return self.runner.run(work)

    async def together(self, *works: Coroutine[Any, Any, Result]) -> Sequence[Result | Refusal]:
        outcomes = await asyncio.gather(*works, return_exceptions=True)
        for outcome in outcomes:
            if isinstance(outcome, BaseException) and not isinstance(outcome, Refusal):
                raise outcome
        return outcomes  # type: ignore[return-value]  # the rest was raised

    def reference(self) -> str:
        self.references += 1
        return f"ref-{self.references}"

    async def held(self) -> dict[Account, int]:
        """What every account of the organisation holds, as credits less debits."""
        async with self.database.transaction() as tx:
            found = await ledger.balances_page(tx, self.organisation_id, 0, "", EVERYTHING)
        return {one.account: one.credits - one.debits for one in found if one.credits != one.debits}

    @invariant()
    def nothing_differs(self) -> None:
        assert self.run(verified(self.database)).differences == ()

    def teardown(self) -> None:
        self.run(self.database.close())
        self.runner.close()


class _Everything:
    size, after, filter = 10_000, "", ""


EVERYTHING: Any = _Everything()
WALLETS = st.sampled_from(
    [Account(AccountKind.CREATOR_PENDING, name, code) for name in "abc" for code in ("USD", "JPY")]
)


class LedgerMachine(Machine):
    """Transfers between a few accounts, guarded or not, with duplicates, conflicts, reversals and transactions that fail."""

    made = Bundle("made")

    def __init__(self) -> None:
        super().__init__()
        self.model: Counter[Account] = Counter()
        self.reversed: set[str] = set()

    def draft(self, giver: Account, taker: str, units: int, *, guarded: bool, reference: str = "") -> Draft:
        other = Account(AccountKind.CREATOR_PENDING, taker, giver.currency)
        postings = (Posting(giver, Direction.DEBIT, units, guarded=guarded), Posting(other, Direction.CREDIT, units))
        content = hashlib.sha256(repr(postings).encode()).digest()
        return Draft(self.organisation_id, EntryKind.SALE, reference or self.reference(), content, postings, T0)

    async def post(self, draft: Draft, *, then_fail: bool = False) -> Posted:
        async with self.database.transaction() as tx:
            posted = await ledger.post(tx, draft, T0)
            if then_fail:
                raise Refusal.from_status(_undone())
        return posted

    def count(self, draft: Draft) -> None:
        for posting in draft.postings:
            self.model[posting.account] += (
                posting.minor_units if posting.direction is Direction.CREDIT else -posting.minor_units
            )

    @rule(target=made, giver=WALLETS, taker=st.sampled_from("xyz"), units=st.integers(1, 50), guarded=st.booleans())
    def transfer(self, giver: Account, taker: str, units: int, guarded: bool) -> Any:
        draft = self.draft(giver, taker, units, guarded=guarded)
        if guarded and self.model[giver] < units:
            with pytest.raises(Refusal, match="OVERDRAFT"):
                self.run(self.post(draft))
            return multiple()
        posted = self.run(self.post(draft))
        assert posted.fresh
        self.count(draft)
        return draft, posted.entry_id

    @rule(giver=WALLETS, taker=st.sampled_from("xyz"), units=st.integers(1, 50))
    def transfer_that_is_undone(self, giver: Account, taker: str, units: int) -> None:
        with pytest.raises(Refusal):
            self.run(self.post(self.draft(giver, taker, units, guarded=False), then_fail=True))

    @rule(giver=WALLETS, units=st.integers(1, 50), copies=st.integers(2, 12))
    def duplicates_at_once(self, giver: Account, units: int, copies: int) -> None:
        draft = self.draft(giver, "x", units, guarded=False)
        outcomes = self.run(self.together(*(self.post(draft) for _ in range(copies))))
        assert sum(one.fresh for one in outcomes if isinstance(one, Posted)) == 1
        self.count(draft)

    @rule(giver=WALLETS, units=st.integers(1, 50), drains=st.integers(2, 12))
    def drains_at_once(self, giver: Account, units: int, drains: int) -> None:
        drafts = [self.draft(giver, "yx"[turn % 2], units, guarded=True) for turn in range(drains)]
        outcomes = self.run(self.together(*(self.post(draft) for draft in drafts)))
        done = [draft for draft, outcome in zip(drafts, outcomes, strict=True) if isinstance(outcome, Posted)]
        assert len(done) == min(drains, max(self.model[giver], 0) // units), "as many as it holds, and not one more"
        for draft in done:
            self.count(draft)

    @rule(one=made)
    def post_again(self, one: tuple[Draft, str]) -> None:
        again = self.run(self.post(one[0]))
        assert (again.fresh, again.entry_id) == (False, one[1])

    @rule(one=made, giver=WALLETS)
    def post_something_else_by_its_reference(self, one: tuple[Draft, str], giver: Account) -> None:
        with pytest.raises(Refusal, match="REFERENCE_REUSED"):
            self.run(self.post(self.draft(giver, "x", 1000, guarded=False, reference=one[0].reference)))

    @rule(one=made, times=st.integers(1, 4))
    def reverse(self, one: tuple[Draft, str], times: int) -> None:
        draft, entry_id = one
        opposite = tuple(posting.opposite for posting in draft.postings)
        undo = [
            Draft(self.organisation_id, EntryKind.REVERSAL, self.reference(), b"", opposite, T0, entry_id)
            for _ in range(times)
        ]
        outcomes = self.run(self.together(*(self.post(draft) for draft in undo)))
        first = 0 if entry_id in self.reversed else 1
        assert sum(isinstance(one, Posted) for one in outcomes) == first
        if first:
            self.count(undo[0])
            self.reversed.add(entry_id)

    @invariant()
    def balances_are_those_of_the_model(self) -> None:
        assert self.run(self.held()) == {account: units for account, units in self.model.items() if units}


def _undone() -> Any:
    from google.rpc import status_pb2

    return status_pb2.Status(code=13, message="undone on purpose")


class SalesMachine(Machine):
    """Sales under changing rules, refunds, chargebacks, wins and reversals, told once or by several at once."""

    sold = Bundle("sold")
    taken = Bundle("taken")

    def __init__(self) -> None:
        super().__init__()
        self.recording = Recording(FixedClock(T0))
        self.gross: dict[str, int] = {}
        self.standing: dict[str, dict[str, tuple[int, bool]]] = {}
        self.undone: set[str] = set()

    async def rules_are(self, rules: Rules) -> None:
        async with self.database.transaction() as tx:
            version = await splits.add(tx, self.organisation_id, rules, "", T0)
            await splits.activate(tx, self.organisation_id, version, T0)

    @initialize(rates=st.tuples(*[st.integers(0, 4000)] * 4))
    def begin(self, rates: tuple[int, int, int, int]) -> None:
        self.run(self.rules_are(Rules(*rates, fee_kept_on_refund=False, chargeback_fee_on_creators=True)))

    @rule(rates=st.tuples(*[st.integers(0, 4000)] * 4), kept=st.booleans(), on_creators=st.booleans())
    def other_rules(self, rates: tuple[int, int, int, int], kept: bool, on_creators: bool) -> None:
        self.run(self.rules_are(Rules(*rates, fee_kept_on_refund=kept, chargeback_fee_on_creators=on_creators)))

    async def sell(self, order: Order) -> Sale:
        async with self.database.transaction() as tx:
            return await self.recording.sell(tx, order)

    @rule(
        target=sold,
        gross=st.integers(1, 5000),
        creators=st.lists(st.tuples(st.sampled_from("abc"), st.integers(1, 9)), max_size=3).map(tuple),
        code=st.sampled_from(["EUR", "JPY"]),
        granted=st.booleans(),
        copies=st.integers(1, 4),
    )
    def record_sale(
        self, gross: int, creators: tuple[tuple[str, int], ...], code: str, granted: bool, copies: int
    ) -> str:
        reference = self.reference()
        grant = payments_pb2.Grant(kind=events_pb2.ENTITLEMENT_KIND_PURCHASE) if granted else None
        price = Price(gross, "ccbill", creators)
        order = Order(self.organisation_id, reference, reference.encode(), price, code, "viewer", grant, None)
        made = self.run(self.together(*(self.sell(order) for _ in range(copies))))
        (sale_id,) = {sale.sale_id for sale in made if isinstance(sale, Sale)}
        self.gross[sale_id], self.standing[sale_id] = gross, {}
        return sale_id

    def left(self, sale_id: str) -> int:
        """What the model says is left of a sale."""
        if sale_id in self.undone:
            return 0
        return self.gross[sale_id] - sum(units for units, _ in self.standing[sale_id].values())

    async def give_back(self, wanted: Return) -> tuple[Sale, str]:
        async with self.database.transaction() as tx:
            return await self.recording.give_back(tx, wanted)

    @rule(
        target=taken,
        sale_id=sold,
        kind=st.sampled_from(Takeback),
        units=st.none() | st.integers(1, 5000),
        revoke=st.booleans(),
        fee=st.integers(0, 2000),
        copies=st.integers(1, 4),
    )
    def take_back(self, sale_id: str, kind: Takeback, units: int | None, revoke: bool, fee: int, copies: int) -> Any:
        revoke = revoke or kind is Takeback.CHARGEBACK
        fee = fee if kind is Takeback.CHARGEBACK else 0
        reference, left = self.reference(), self.left(sale_id)
        wanted = Return(
            self.organisation_id, sale_id, kind, reference, reference.encode(), units, (), revoke=revoke, fee=fee
        )
        outcomes = self.run(self.together(*(self.give_back(wanted) for _ in range(copies))))
        total = left if units is None else units
        if total > left or not total:
            assert {one.reason for one in outcomes if isinstance(one, Refusal)} == {"AMOUNT_EXCEEDS_REMAINING"}
            assert all(isinstance(one, Refusal) for one in outcomes)
            return multiple()
        (entry_id,) = {one[1] for one in outcomes if not isinstance(one, Refusal)}
        self.standing[sale_id][entry_id] = (total, revoke)
        return sale_id, entry_id, kind

    async def win(self, sale_id: str, entry_id: str, reference: str) -> tuple[Sale, str]:
        async with self.database.transaction() as tx:
            return await self.recording.win(
                tx,
                self.organisation_id,
                sale_id,
                chargeback_entry_id=entry_id,
                reference=reference,
                content=reference.encode(),
            )

    async def reverse(self, entry_id: str) -> None:
        async with self.database.transaction() as tx:
            await self.recording.reverse(tx, self.organisation_id, entry_id, "a mistake", entry_id.encode())

    @rule(one=taken, copies=st.integers(1, 3))
    def win_or_reverse(self, one: tuple[str, str, Takeback], copies: int) -> None:
        sale_id, entry_id, kind = one
        works: list[Coroutine[Any, Any, Any]] = [self.reverse(entry_id) for _ in range(copies)]
        if kind is Takeback.CHARGEBACK:
            works.append(self.win(sale_id, entry_id, self.reference()))
        outcomes = self.run(self.together(*works))
        stood = self.standing[sale_id].pop(entry_id, None)
        refused = [one.reason for one in outcomes if isinstance(one, Refusal)]
        assert refused == ["ALREADY_REVERSED"] * (len(works) - (1 if stood else 0))

    @precondition(lambda self: self.gross)
    @rule(sale_id=consumes(sold))
    def reverse_sale(self, sale_id: str) -> None:
        async def entry() -> str:
            async with self.database.transaction() as tx:
                sale = await sales.find(tx, self.organisation_id, sale_id)
            assert sale is not None
            return sale.entry_id

        (outcome,) = self.run(self.together(self.reverse(self.run(entry()))))
        if self.standing[sale_id]:
            assert isinstance(outcome, Refusal)
            assert outcome.reason == "NOT_REVERSIBLE"
        else:
            assert outcome is None
            self.undone.add(sale_id)

    async def all_sales(self, tx: Tx) -> list[Sale]:
        return list(await sales.page(tx, self.organisation_id, sales.Wanted(), EVERYTHING))

    @invariant()
    def sales_are_those_of_the_model(self) -> None:
        async def found() -> list[Sale]:
            async with self.database.transaction() as tx:
                return await self.all_sales(tx)

        kept = self.run(found())
        assert {sale.sale_id for sale in kept} == set(self.gross)
        for sale in kept:
            standing = self.standing[sale.sale_id].values()
            assert sale.remaining == self.left(sale.sale_id)
            assert sale.refunded + sale.charged_back == sum(units for units, _ in standing)
            entitled = bool(sale.entitlement_id) and sale.remaining > 0 and not any(ends for _, ends in standing)
            assert sale.entitled == entitled

    @invariant()
    def the_processor_owes_what_is_left(self) -> None:
        """And everybody together has just that: the trial balance is zero in every currency."""
        held = self.run(self.held())
        totals: Counter[str] = Counter()
        for account, units in held.items():
            totals[account.currency] += units
        assert not any(totals.values())
        owed = -sum(units for account, units in held.items() if account.kind is AccountKind.PROCESSOR_RECEIVABLE)
        assert owed == sum(self.left(sale_id) for sale_id in self.gross)


@pytest.mark.timeout(so_many(400, long=7200))
@pytest.mark.parametrize("machine", [LedgerMachine, SalesMachine])
async def test_nothing_that_is_done_puts_the_books_out_of_order(mesh: ProcessSettings, machine: type[Machine]) -> None:
    here = mesh.model_copy(update={"database_pool": 8})
    made = type(machine.__name__, (machine,), {"here": here})
    await asyncio.to_thread(run_state_machine_as_test, made, settings=TRIED)
