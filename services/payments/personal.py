"""What this service keeps of persons: what they bought and earned. The books stay, because the law asks for them."""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa

from services.kit.clock import Clock
from services.kit.database import Tx
from services.kit.personal import (
    Blank,
    DataSubject,
    Declaration,
    Delete,
    Free,
    Keep,
    Match,
    NothingElse,
    Personal,
    actor,
    either,
    person,
    through,
)
from services.payments.subscriptions import store
from services.payments.subscriptions.domain import State
from services.payments.subscriptions.keeping import Step, cancellation, keep

_BOOKS: Final = (
    "accounting records (GDPR art. 17(3)(b); HGB § 257 and AO § 147, or what stands in their place where the seller is)"
)
_INVOICES: Final = (
    "invoices (GDPR art. 17(3)(b); UStG § 14b and AO § 147, or what stands in their place where the seller is)"
)
_PAYEES: Final = (
    "whom money was paid to (GDPR art. 17(3)(b); AO § 147, or what stands in its place where the seller is)"
)
_PERIOD: Final = (
    "plan_id plan_version tier unit unit_count price grace_days dunning_days anchor number period_start period_end"
)
_CREATOR: Final = person("creator_id")
_CHECKOUTS: Final = Personal(
    "checkouts",
    "what the person wanted to pay for",
    person("viewer_id"),
    "checkout_id viewer_id offer_id asset_id create_time pay_time sale_id",
    "territory title minor_units currency state organisation_id offer_version account_id processor return_path page_reference expire_time ask_time",
    Blank({"viewer_id": "'erased'", "payment_method_reference": "''", "page": "'{}'"}),
    {
        "request_key": "digest of a request",
        "page": "the processor's own",
        "transaction_reference": "the processor's own",
        "payment_method_reference": "the processor's own",
    },
)
_SUBSCRIPTIONS: Final = Personal(
    "subscriptions",
    "what the person subscribed to",
    person("viewer_id"),
    "subscription_id viewer_id state trial_end end_reason end_time create_time change_time entitlement_id",
    f"territory currency processor {_PERIOD} organisation_id account_id checkout_id renews_by_itself open_charge_id attempts retry_time given_up lapsed next_plan_id next_version due_time",
    # One of each viewer lives at a time, so each is its own nobody.
    Blank({"viewer_id": "'erased/' || subscription_id", "payment_method": "''"}),
    {"payment_method": "the processor's own", "reference": "the processor's own"},
)
_PAYOUTS: Final = Personal(
    "payouts",
    "what the person was paid",
    _CREATOR,
    "payout_id creator_id currency minor_units destination_hint",
    "payout_batch_id organisation_id bank_account_id",
    Keep(
        _PAYEES,
        10,
        _made := "(SELECT create_time FROM payout_batches b WHERE b.payout_batch_id = payouts.payout_batch_id)",
    ),
)

DECLARATION: Final = Declaration(
    personal=(
        Personal(
            "charges",
            "what was asked of the person's means of payment",
            through("subscription_id", _SUBSCRIPTIONS),
            f"charge_id subscription_id processor purpose minor_units currency {_PERIOD} attempt state reason create_time outcome_time sale_id",
            "organisation_id ask_time asked",
            Keep(_BOOKS, 10, "create_time", Delete()),
            {"reference": "the processor's own"},
        ),
        Personal(
            "checkout_refunds",
            "what went back to the person",
            through("checkout_id", _CHECKOUTS),
            "refund_id checkout_id minor_units currency whole state reason create_time",
            "organisation_id attempts due_time",
            Keep(_BOOKS, 10, "create_time", Delete()),
        ),
        Personal(
            "subscription_checkouts",
            "subscriptions that were begun",
            person("viewer_id"),
            "checkout_id viewer_id plan_id create_time subscription_id",
            "territory minor_units currency organisation_id account_id renews_by_itself",
            Blank({"viewer_id": "'erased'"}),
        ),
        Personal(
            "redemptions",
            "promotion codes that the person used",
            person(
                "viewer_id",
                "(SELECT organisation_id FROM promotions p WHERE p.promotion_id = redemptions.promotion_id)",
            ),
            "viewer_id redeem_time promotion_id entitlement_id",
            "",
            Delete(),
        ),
        Personal(
            "entitlements",
            "what the person may watch",
            either(person("viewer_id"), person("buyer_id")),
            "entitlement_id viewer_id buyer_id asset_id kind start_time end_time territories max_plays begin_by_time watch comment paid revoke_time"
            " revoke_comment plays begin_time create_time sale_id offer_id promotion_id",
            "organisation_id change_time",
            # A refund of the sale still finds it.
            Blank(
                {
                    "viewer_id": "CASE WHEN viewer_id = :name THEN 'erased' ELSE viewer_id END",
                    "buyer_id": "CASE WHEN buyer_id = :name THEN 'erased' ELSE buyer_id END",
                    "comment": "''",
                    "revoke_comment": "''",
                    "revoke_time": "CASE WHEN viewer_id = :name THEN COALESCE(revoke_time, now()) ELSE revoke_time END",
                }
            ),
        ),
        Personal(
            "billing_details",
            "what the person gave to be written on invoices",
            person("viewer_id"),
            "viewer_id buyer change_time",
            "organisation_id version",
            Delete(),
        ),
        Personal(
            "invoices",
            "invoices to the person",
            person("viewer_id"),
            "invoice_id viewer_id series year serial sale_id content issue_time",
            "organisation_id entry_id",
            Keep(_INVOICES, 10, "issue_time"),
        ),
        Personal(
            "sales",
            "what the person bought, or earned by a sale",
            either(
                person("viewer_id"),
                Match(
                    "(:scope = '' OR organisation_id = :scope)"
                    " AND EXISTS (SELECT FROM jsonb_array_elements(parts) AS part WHERE part ->> 1 = :name)"
                ),
            ),
            "sale_id viewer_id processor gross currency refunded charged_back reversed sell_time asset_id grant_kind parts entitlement_id",
            "organisation_id entry_id split_rules_version entitled entitle_time create_time",
            Keep(_BOOKS, 10, "sell_time", Blank({"viewer_id": "''", "granted": "''", "parts": "'[]'"})),
            {"reference": "the processor's own", "granted": "the same as the entitlement"},
        ),
        Personal(
            "bank_accounts",
            "where the person's money goes",
            either(_CREATOR, actor("changer")),
            "bank_account_id creator_id hint changer create_time",
            "organisation_id",
            Keep(_PAYEES, 10, "create_time"),
            {"sealed": "sealed; the hint tells which it is"},
        ),
        Personal(
            "payee_versions",
            "how the person is paid",
            either(_CREATOR, person("account_id"), actor("changer")),
            "creator_id account_id minimums hold_days reserve_days tax_form tax_form_expire_time suspended destination_hint changer change_time",
            "organisation_id version bank_account_id",
            Keep(_PAYEES, 10, "change_time"),
        ),
        Personal(
            "payout_steps",
            "how far payouts to the person are",
            either(through("payout_id", _PAYOUTS), actor("actor")),
            "payout_id state actor bank_reference reason step_time",
            "entry_id",
            Keep(_PAYEES, 10, "step_time"),
        ),
        _PAYOUTS,
        Personal(
            "payout_batches",
            "who prepared payouts",
            actor("preparer"),
            "payout_batch_id preparer create_time",
            "organisation_id currency total payout_count payable_time",
            Keep(_BOOKS, 10, "create_time"),
        ),
        Personal(
            "payout_batch_steps",
            "who approved and sent payouts",
            actor("actor"),
            "payout_batch_id state actor step_time",
            "entry_id",
            Keep(_BOOKS, 10, "step_time"),
        ),
        Personal(
            "reconciliation_marks",
            "who saw to differences with processors",
            actor("actor"),
            "case_id number state note actor mark_time",
            "entry_id",
            Keep(_BOOKS, 10, "mark_time"),
        ),
        Personal(
            "accounts",
            "the person's accounts in the books",
            person("owner_id"),
            "account_id kind owner_id currency create_time",
            "organisation_id debit_normal",
            Keep(_BOOKS, 10, "create_time"),
        ),
        _CHECKOUTS,
        _SUBSCRIPTIONS,
    ),
    free=(
        Free("active_split_rules", "which rules divide prices", "organisation_id version"),
        Free("attempts", "counts by keyed digests, gone within a day", "key failures blocked_until forget_time"),
        Free("balances", "sums of the books", "account_id debits credits postings book_time"),
        Free(
            "entries",
            "entries of the books, by references of processors",
            "entry_id organisation_id kind reference content_sha256 posting_count reverses_entry_id description occur_time create_time",
        ),
        Free("invoice_issuers", "who writes invoices: the organisation", "organisation_id version seller change_time"),
        Free(
            "offer_versions",
            "what is sold, and which creators share in it",
            "offer_id version title prices begin_within watch max_plays territories start_time end_time creators update_time",
        ),
        Free("offers", "what is sold", "offer_id organisation_id kind asset_id version create_time retire_time"),
        Free(
            "plan_terms",
            "what can be subscribed to",
            "plan_id version tier unit unit_count trial_days grace_days dunning_days prices move_time create_time",
        ),
        Free("plans", "what can be subscribed to", "plan_id organisation_id display_name retire_time create_time"),
        Free(
            "postings",
            "sums that moved between accounts",
            "position entry_id account_id currency direction minor_units guarded number balance book_time",
        ),
        Free(
            "processor_accounts",
            "the organisation's accounts at processors",
            "account_id organisation_id processor settings secrets secret_names test_mode disabled version create_time update_time",
        ),
        Free(
            "promotions",
            "promotion codes",
            "promotion_id organisation_id code asset_id lasts max_plays watch territories start_time end_time max_uses uses_per_viewer comment uses"
            " stop_time create_time",
        ),
        Free(
            "reconciliation_cases",
            "differences with processors",
            "case_id organisation_id processor report_date difference reference ours theirs create_time",
        ),
        Free(
            "reconciliation_runs",
            "comparisons with processors",
            "run_id organisation_id processor report_date report_sha256 transactions run_time",
        ),
        Free(
            "report_lines",
            "what processors reported, by their references",
            "run_id number organisation_id reference minor_units currency fee",
        ),
        Free(
            "split_rules",
            "rules that divide prices",
            "organisation_id version platform tax fee reserve fee_kept_on_refund chargeback_fee_on_creators comment create_time activate_time",
        ),
        Free("takebacks", "what went back of sales", "entry_id sale_id kind taken revoked reversed"),
        Free(
            "tax_rates",
            "taxes",
            "rate_id organisation_id jurisdiction name millionths inclusive start_time create_time",
        ),
        Free(
            "webhook_events",
            "what processors told, by their own references; of deliveries, only what an allow-list lets through, nothing personal",
            "event_id organisation_id account_id processor dedupe_key kind state notice redacted waits_for attempts trouble due_time receive_time done_time",
        ),
    ),
)


class PaymentsActs(NothingElse):
    """Ends the subscriptions of whoever is erased, so that nothing is taken from them any more."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    async def before_erasure(self, tx: Tx, subject: DataSubject) -> None:
        """Cancels; a processor that renews by itself is told."""
        now, table = self._clock.now(), store.subscriptions
        theirs = [table.c.viewer_id == subject.name, table.c.state.not_in([State.CANCELLING, State.EXPIRED])]
        if subject.scope:
            theirs.append(table.c.organisation_id == subject.scope)
        found = (await tx.execute(sa.select(table.c.subscription_id).where(*theirs))).scalars().all()
        locked = await store.locked(tx, found)
        steps = [Step(one, one.cancelled(now), cancellation(one)) for one in locked.values()]
        if steps:
            await keep(tx, steps, now)
