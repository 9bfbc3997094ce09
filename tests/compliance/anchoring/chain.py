"""A chain of our own: py-evm makes its blocks, and a node of it speaks Ethereum's JSON-RPC. It mines when it is told to, and can be as unkind as chains are."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tests.support.http_server import serving

GWEI = 10**9


def _py_evm() -> Any:
    """A chain without a node. Its libraries are large, and imported only where there is one."""
    from eth_tester import PyEVMBackend

    # py_ecc and eth let everybody in the process recurse 100,000 deep, which no stack holds: JSON that is nested for the sake of it would end the process.
    sys.setrecursionlimit(1000)
    return PyEVMBackend()


class Refused(Exception):
    """What the node answers with an error."""


@dataclass
class LocalChain:
    """The chain and its one node.

    Attributes:
        pool: transactions that wait, by their hashes.
        sent: hashes of all that anybody sent, in order, repeated ones too.
        pressure: what the next block asks on top of the base fee, in wei.
        away: the node answers nothing.
        says_chain_id: which chain the node says that it is of; 0 for the truth.
        before_taking, after_taking: called when something is sent, before the node has it and before it says so.
    """

    backend: Any = field(default_factory=_py_evm)
    pool: dict[str, Any] = field(default_factory=dict)
    raws: dict[str, bytes] = field(default_factory=dict)
    sent: list[str] = field(default_factory=list)
    pressure: int = 0
    away: bool = False
    says_chain_id: int = 0
    before_taking: Callable[[], None] = lambda: None
    after_taking: Callable[[], None] = lambda: None

    @property
    def chain_id(self) -> int:
        return int(self.backend.chain.chain_id)

    def key_file(self, folder: Path) -> Path:
        """The key of an account that has something to spend."""
        file = folder / "evm_key"
        file.write_text(self.backend.account_keys[0].to_hex())
        file.chmod(0o600)
        return file

    @property
    def sender(self) -> str:
        return str(self.backend.account_keys[0].public_key.to_checksum_address())

    def kind(self) -> None:
        """Is as kind as it was made."""
        self.pool, self.sent, self.pressure, self.away, self.says_chain_id = {}, [], 0, False, 0
        self.before_taking = self.after_taking = lambda: None

    @property
    def head(self) -> int:
        return int(self.backend.get_block_by_number("latest", full_transaction=False)["number"])

    def mine(self, blocks: int = 1) -> None:
        """Makes a block of what waits and pays enough, and then empty ones."""
        for known, one in sorted(self.pool.items(), key=lambda item: item[1].nonce):
            if one.max_fee_per_gas >= self._base_fee():
                self.backend.send_raw_transaction(self.raws[known])
                del self.pool[known]
        self.backend.mine_blocks(blocks)

    def spend(self) -> None:
        """Somebody else uses the account: the next block has a transaction of theirs with the next nonce."""
        to, fee = b"\x01" * 20, 10 * GWEI
        sender = bytes.fromhex(self.sender.removeprefix("0x"))
        call = {"from": sender, "to": to, "value": 1, "gas": 21000}
        self.backend.send_transaction(call | {"max_fee_per_gas": fee, "max_priority_fee_per_gas": GWEI, "data": b""})
        self.backend.mine_blocks(1)

    @contextlib.contextmanager
    def another_branch(self) -> Any:
        """What is mined in the block is taken back at its end: a longer branch began where it began."""
        snapshot = self.backend.take_snapshot()
        yield
        self.backend.revert_to_snapshot(snapshot)

    def data_of(self, transaction_hash: str) -> bytes:
        """Input of a transaction that is in a block."""
        found = self.backend.get_transaction_by_hash(bytes.fromhex(transaction_hash.removeprefix("0x")))
        return bytes(found["data"])

    def mined(self) -> list[str]:
        """Hashes of the account's transactions in all blocks."""
        blocks = [self.backend.get_block_by_number(number, full_transaction=False) for number in range(self.head + 1)]
        return [_hex(one) for block in blocks for one in block["transactions"]]

    async def answer(self, request: Request) -> Response:
        if self.away:
            return Response("the node is being restarted", 503)
        asked = await request.json()
        try:
            answered = {"result": getattr(self, asked["method"])(*asked["params"])}
        except Refused as error:
            answered = {"error": {"code": -32000, "message": str(error)}}
        return JSONResponse({"jsonrpc": "2.0", "id": asked["id"]} | answered)

    def eth_chainId(self) -> str:
        return hex(self.says_chain_id or self.chain_id)

    def eth_getBlockByNumber(self, number: str, _full: bool) -> Any:
        block = self.backend.get_block_by_number(_place(number), full_transaction=False)
        return {
            "number": hex(block["number"]),
            "hash": _hex(block["hash"]),
            "parentHash": _hex(block["parent_hash"]),
            "timestamp": hex(block["timestamp"]),
            "baseFeePerGas": hex(block["base_fee_per_gas"] + self.pressure),
            "extraData": "0x" + "00" * 97,  # as of a chain with proof of authority
        }

    def eth_getTransactionCount(self, address: str, place: str) -> str:
        sender = bytes.fromhex(address.removeprefix("0x"))
        count = self.backend.get_nonce(sender, _place("latest" if place == "pending" else place))
        if place == "pending":
            while any(one.nonce == count for one in self.pool.values()):
                count += 1
        return hex(count)

    def eth_maxPriorityFeePerGas(self) -> str:
        return hex(GWEI)

    def eth_estimateGas(self, call: dict[str, str], *_place: str) -> str:
        data = bytes.fromhex(call["data"].removeprefix("0x"))
        return hex(21000 + sum(16 if byte else 4 for byte in data))

    def eth_sendRawTransaction(self, text: str) -> str:
        raw = bytes.fromhex(text.removeprefix("0x"))
        one = self.backend.chain.get_vm().get_transaction_builder().decode(raw)
        known = _hex(one.hash)
        self.sent.append(known)
        self.before_taking()
        if one.chain_id != self.chain_id:
            raise Refused("invalid chain id for signer")
        if known in self.pool:
            raise Refused("already known")
        if one.nonce < self.backend.get_nonce(one.sender):
            raise Refused(f"nonce too low: address {self.sender}")
        for other, waiting in list(self.pool.items()):
            if waiting.nonce == one.nonce:
                if one.max_fee_per_gas * 10 < waiting.max_fee_per_gas * 11:
                    raise Refused("replacement transaction underpriced")
                del self.pool[other]
        self.pool[known], self.raws[known] = one, raw
        self.after_taking()
        return known

    def eth_getTransactionReceipt(self, transaction_hash: str) -> Any:
        from eth_tester.exceptions import TransactionNotFound
        from eth_utils.exceptions import ValidationError

        try:
            found = self.backend.get_transaction_receipt(bytes.fromhex(transaction_hash.removeprefix("0x")))
        except (TransactionNotFound, ValidationError):
            return None
        return {
            "transactionHash": transaction_hash,
            "blockNumber": hex(found["block_number"]),
            "blockHash": _hex(found["block_hash"]),
            "status": hex(found["status"]),
        }

    def _base_fee(self) -> int:
        return int(self.backend.get_base_fee()) + self.pressure


def _hex(content: bytes) -> str:
    return f"0x{content.hex()}"


def _place(number: str) -> Any:
    return int(number, 16) if number.startswith("0x") else number


@contextlib.asynccontextmanager
async def noded(chain: LocalChain) -> AsyncIterator[str]:
    """Serves the chain's node; yields its URL, with a key in it as such URLs have."""
    app = Starlette(routes=[Route("/v3/{key}", chain.answer, methods=["POST"])])
    async with serving(app) as url:
        yield f"{url}/v3/0123456789abcdef0123456789abcdef"
