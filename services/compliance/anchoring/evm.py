"""Anchors on an EVM chain: one transaction for each checkpoint, from the key's account to itself, whose input names log, tree size and root.

Each transaction is signed and committed before it is sent, so a process that dies sends the same one again. A second one for the same checkpoint has the
nonce of the first, so that the chain takes one of them; another nonce is taken once the chain has given this one away for good.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final

import structlog
from prometheus_client import Counter
from sqlalchemy.exc import IntegrityError

from services.compliance.anchoring import store
from services.compliance.anchoring.anchor import EVM, Confirmation, Pending, Trouble
from services.compliance.anchoring.evm_chain import Chain, Head, hexadecimal
from services.compliance.anchoring.store import Transaction
from services.kit.clock import Clock
from services.kit.database import Database

if TYPE_CHECKING:
    from eth_account.signers.local import LocalAccount

log = structlog.stdlib.get_logger()

MARK: Final = b"RMA1"
"""What the input of every anchor begins with."""
GWEI: Final = 10**9
REORGANISED: Final = Counter(
    "reelmesh_audit_anchor_reorganisations_total", "Times a chain took a block back that an anchor was in.", ["anchor"]
)


def calldata(pending: Pending) -> bytes:
    """The input of an anchor's transaction, 76 bytes: mark, SHA-256 of the log's name, size (8 bytes, big-endian), root."""
    return MARK + hashlib.sha256(pending.origin.encode()).digest() + pending.tree_size.to_bytes(8) + pending.root


@dataclass(frozen=True, slots=True)
class Fees:
    """What is paid for a unit of gas, in wei (EIP-1559): at most, and to the miner."""

    most: int
    tip: int


def fees_for(head: Head, tip: int, gas: int, cap: int) -> Fees:
    """Fees with room for a base fee that doubles, as far as the cap on the whole transaction allows.

    Raises:
        Trouble: not even what the next block asks is within the cap.
    """
    allowed = cap // gas
    tip = min(tip, allowed)
    if head.base_fee + tip > allowed:
        cost = gas * (head.base_fee + tip) // GWEI
        raise Trouble(f"a transaction costs {cost} gwei now, more than the {cap // GWEI} that are allowed: it waits")
    return Fees(min(2 * head.base_fee + tip, allowed), tip)


def raised(old: Fees, new: Fees, gas: int, cap: int) -> Fees | None:
    """Fees by which nodes let a transaction take another one's place: an eighth more of both. None when the cap is in the way."""
    least = Fees(old.most * 9 // 8 + 1, old.tip * 9 // 8 + 1)
    fees = Fees(max(least.most, new.most), max(least.tip, new.tip))
    return fees if fees.most * gas <= cap else None


@dataclass(frozen=True, slots=True)
class Rules:
    """What the operator wants.

    Attributes:
        confirmations: blocks, with the anchor's own, until it counts.
        cap: most that one transaction may cost, in wei.
        patience: how long one may wait to be mined before it is looked at whether a higher fee would help.
    """

    confirmations: int
    cap: int
    patience: timedelta


class EvmAnchor:
    """One chain, and the account that anchors on it."""

    at_once: int = 1  # its transactions follow each other by nonce
    followed_for: timedelta = timedelta(days=36_500)  # a signed one can be mined at any time

    def __init__(self, database: Database, clock: Clock, chain: Chain, key: LocalAccount, rules: Rules) -> None:
        self._database = database
        self._clock = clock
        self._chain = chain
        self._key = key
        self._rules = rules
        self.name = f"{EVM}{chain.chain_id}"

    @property
    def sender(self) -> str:
        """The account's address."""
        return str(self._key.address)

    async def submit(self, pending: Pending) -> None:
        head = await self._chain.head()
        made = await self._made(pending)
        if made and await self._lost(made, head):
            made = []
        if not made:
            made = [await self._first(pending, head)]
        elif await self._is_mined(made):
            return
        try:
            made = await self._replaced(pending, made, head)
        finally:  # it keeps waiting as it is when it cannot be dearer
            await self._chain.send(made[-1].raw)

    async def confirm(self, pending: Pending) -> Confirmation | None:
        head = await self._chain.head()
        for one in await self._made(pending):
            mined = await self._chain.mined(one.transaction_hash)
            # Nodes have given out receipts of blocks that they had left already.
            if mined is not None and await self._chain.block_hash(mined.number) != mined.block_hash:
                mined = None
            await self._note_seen(one, "" if mined is None else mined.block_hash)
            if mined is not None and head.number - mined.number + 1 >= self._rules.confirmations:
                return Confirmation(mined.number, one.transaction_hash, mined.block_hash)
        return None

    async def _made(self, pending: Pending) -> list[Transaction]:
        async with self._database.transaction() as tx:
            return await store.transactions_of(tx, pending.anchor_id)

    async def _is_mined(self, made: list[Transaction]) -> bool:
        return any([await self._chain.mined(one.transaction_hash) is not None for one in made])

    async def _lost(self, made: list[Transaction], head: Head) -> bool:
        """Whether another transaction has the nonce, and deep enough that it stays so. Somebody else uses the key then."""
        before = max(0, head.number - self._rules.confirmations + 1)
        if await self._chain.sent(made[0].sender, before) <= made[0].nonce or await self._is_mined(made):
            return False
        async with self._database.transaction() as tx:
            await store.lose(tx, made)
        log.warning("somebody else uses the key of the anchors; they are sent again", anchor=self.name)
        return True

    async def _first(self, pending: Pending, head: Head) -> Transaction:
        """Signs the first transaction of a checkpoint, with the next nonce."""
        nonce = max(await self._chain.sent(self.sender), await self._chain.sent(self.sender, head.number))
        async with self._database.transaction() as tx:
            last = await store.last_nonce(tx, self._chain.chain_id, self.sender)
            # Not the first one where the chain gave a nonce back that had been given up.
            attempt = await store.next_attempt(tx, self._chain.chain_id, self.sender, nonce)
        if nonce <= last:
            raise Trouble(
                f"the node says that the account sent {nonce} transactions, and {last + 1} are confirmed: it is behind, or its chain was begun anew, and needs another key"
            )
        gas = await self._chain.gas(self.sender, calldata(pending))
        fees = fees_for(head, await self._chain.tip(), gas, self._rules.cap)
        return await self._signed(pending, nonce, attempt, gas, fees)

    async def _replaced(self, pending: Pending, made: list[Transaction], head: Head) -> list[Transaction]:
        """Signs a dearer one of the same nonce when the last one has waited for long and pays less than is asked now."""
        last = made[-1]
        if self._clock.now() - last.create_time < self._rules.patience or last.sender != self.sender:
            return made
        old, tip = Fees(last.max_fee, last.tip), await self._chain.tip()
        if head.base_fee + min(tip, old.tip) <= old.most and tip <= old.tip:
            return made  # it pays enough; it is sent again as it is
        new = fees_for(head, tip, last.gas, self._rules.cap)
        dearer = raised(old, new, last.gas, self._rules.cap)
        if dearer is None:
            raise Trouble(
                f"the transaction waits to be mined, and a dearer one may not cost more than {self._rules.cap // GWEI} gwei"
            )
        return [*made, await self._signed(pending, last.nonce, last.attempt + 1, last.gas, dearer)]

    async def _signed(self, pending: Pending, nonce: int, attempt: int, gas: int, fees: Fees) -> Transaction:
        """Signs a transaction and commits it."""
        signed = self._key.sign_transaction(
            {
                "type": 2,
                "chainId": self._chain.chain_id,
                "nonce": nonce,
                "to": self._key.address,
                "value": 0,
                "gas": gas,
                "maxFeePerGas": fees.most,
                "maxPriorityFeePerGas": fees.tip,
                "data": calldata(pending),
            }
        )
        made = Transaction(
            chain_id=self._chain.chain_id,
            sender=self.sender,
            nonce=nonce,
            attempt=attempt,
            anchor_id=pending.anchor_id,
            transaction_hash=hexadecimal(signed.hash),
            raw=bytes(signed.raw_transaction),
            gas=gas,
            max_fee=fees.most,
            tip=fees.tip,
            create_time=self._clock.now(),
        )
        try:
            async with self._database.transaction() as tx:
                await store.add_transaction(tx, made)
        except IntegrityError:
            raise Trouble(f"the nonce {nonce} was used for another anchor; it is looked at again") from None
        return made

    async def _note_seen(self, one: Transaction, block_hash: str) -> None:
        """Notes the block that a transaction is in; that it left one it was in before is told."""
        if one.seen_block_hash == block_hash:
            return
        if one.seen_block_hash:
            REORGANISED.labels(self.name).inc()
            log.warning(
                "the chain took a block back that an anchor was in", anchor=self.name, block=one.seen_block_hash
            )
        async with self._database.transaction() as tx:
            await store.note_seen(tx, one.transaction_hash, block_hash)
