"""An EVM chain as one node of it shows it (Ethereum's JSON-RPC, by web3). The node is believed: whoever runs none of their own trusts who does."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import stat
import sys
from collections.abc import Awaitable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

from services.compliance.anchoring.anchor import NotInstalled, Trouble, without_addresses

if TYPE_CHECKING:
    from eth_account.signers.local import LocalAccount
    from web3 import AsyncWeb3

Result = TypeVar("Result")
_PATIENCE: Final = 8.0
"""Seconds that the node may take for one answer."""
_KNOWN: Final = ("already known", "known transaction", "already_exists", "already imported", "already in mempool")
"""How nodes say that they have a transaction already."""
_TOO_LOW: Final = ("nonce too low", "nonce is too low", "invalid nonce", "underpriced")
"""How nodes say that the nonce is taken, or that they hold another transaction of it that pays as much: what became of it is looked at in the next round."""


class UnsafeKeyFile(Exception):
    """The file with the private key can be read by others, or holds none; the message says which."""


@dataclass(frozen=True, slots=True)
class Head:
    """The latest block: its number, and its base fee in wei for a unit of gas."""

    number: int
    base_fee: int


@dataclass(frozen=True, slots=True)
class Mined:
    """The block that a transaction is in."""

    number: int
    block_hash: str


@contextlib.contextmanager
def _usual_depth() -> Iterator[None]:
    """While these libraries are imported: they let the whole process recurse 100,000 deep, which no stack holds, so that hostile JSON would end it."""
    depth = sys.getrecursionlimit()
    try:
        yield
    finally:
        sys.setrecursionlimit(depth)


def key_of(file: Path) -> LocalAccount:
    """The account whose private key is in a file, as 64 hexadecimal digits.

    Raises:
        UnsafeKeyFile: others may read it, or it holds no key.
        NotInstalled: web3 is not there.
    """
    try:
        with _usual_depth():
            from eth_account import Account
    except ModuleNotFoundError:
        raise NotInstalled("anchoring to an EVM chain", "web3") from None
    if stat.S_IMODE(file.stat().st_mode) & 0o077:
        raise UnsafeKeyFile(f"{file} can be read by others: `chmod 600` it")
    try:
        account: LocalAccount = Account.from_key(file.read_text(encoding="ascii").strip())
    except Exception:  # whatever it was, its words may quote the key
        raise UnsafeKeyFile(f"{file} does not hold a private key: 32 bytes as 64 hexadecimal digits") from None
    return account


class Chain:
    """A chain, asked over a node's URL. `chain_id` is the one that it must be (EIP-155)."""

    def __init__(self, url: str, chain_id: int) -> None:
        try:
            with _usual_depth():
                from aiohttp import ClientTimeout
                from web3 import AsyncHTTPProvider, AsyncWeb3
                from web3.middleware import ExtraDataToPOAMiddleware
        except ModuleNotFoundError:
            raise NotInstalled("anchoring to an EVM chain", "web3") from None
        # It writes the URL down, on closing even where all is well.
        logging.getLogger("web3").setLevel(logging.WARNING)
        limits = {"timeout": ClientTimeout(total=_PATIENCE)}
        provider = AsyncHTTPProvider(url, request_kwargs=limits, exception_retry_configuration=None)
        self._provider = provider
        self._web3: AsyncWeb3[Any] = AsyncWeb3(provider)
        # Chains with proof of authority have longer extra data than web3 takes for valid.
        self._web3.middleware_onion.inject(ExtraDataToPOAMiddleware, layer=0)
        self.chain_id = chain_id

    async def close(self) -> None:
        """Closes what is open towards the node."""
        await self._provider.disconnect()

    async def head(self) -> Head:
        """The latest block.

        Raises:
            Trouble: the node is away, of another chain, or of one without fees by EIP-1559.
        """
        if (found := await self._answer(self._web3.eth.chain_id)) != self.chain_id:
            raise Trouble(f"the node is of chain {found}, and {self.chain_id} is set: nothing is sent to it")
        block = await self._answer(self._web3.eth.get_block("latest"))
        if "baseFeePerGas" not in block:
            raise Trouble("the chain has no base fee (EIP-1559): it cannot be anchored to")
        return Head(int(block["number"]), int(block["baseFeePerGas"]))

    async def block_hash(self, number: int) -> str:
        """Hash of the block of a number, as the node sees it now."""
        block = await self._answer(self._web3.eth.get_block(number))
        return hexadecimal(block["hash"])

    async def sent(self, address: str, block: int | None = None) -> int:
        """How many transactions an account has sent up to a block; None: with all that wait to be mined."""
        sender: Any = address
        counted = self._web3.eth.get_transaction_count(sender, "pending" if block is None else block)
        return int(await self._answer(counted))

    async def tip(self) -> int:
        """What the node would give a miner now, in wei for a unit of gas."""
        return int(await self._answer(self._web3.eth.max_priority_fee))

    async def gas(self, address: str, data: bytes) -> int:
        """Gas that a transaction of an account to itself takes, with a little to spare."""
        call: Any = {"from": address, "to": address, "value": 0, "data": data}
        return int(await self._answer(self._web3.eth.estimate_gas(call))) * 21 // 20

    async def send(self, raw: bytes) -> None:
        """Sends a signed transaction. One that the node has already, or whose nonce is taken, is no trouble here.

        Raises:
            Trouble: the node is away, or does not take it.
        """
        try:
            await self._answer(self._web3.eth.send_raw_transaction(raw))
        except Trouble as error:
            if not any(words in str(error).lower() for words in (*_KNOWN, *_TOO_LOW)):
                raise

    async def mined(self, transaction_hash: str) -> Mined | None:
        """The block that a transaction is in; None for none."""
        from web3.exceptions import TransactionNotFound

        looked_for: Any = transaction_hash
        try:
            receipt = await self._answer(self._web3.eth.get_transaction_receipt(looked_for), TransactionNotFound)
        except TransactionNotFound:
            return None
        return Mined(int(receipt["blockNumber"]), hexadecimal(receipt["blockHash"]))

    async def _answer(self, asked: Awaitable[Result], *expected: type[Exception]) -> Result:
        """What the node answers; whatever goes wrong is `Trouble`, without the URL, but for what is expected."""
        try:
            return await asked
        except asyncio.CancelledError:
            raise
        except expected:
            raise
        except (OSError, TimeoutError) as error:
            raise Trouble(f"the node does not answer ({type(error).__name__}); it is asked again") from None
        except Exception as error:  # of the library, of what it is built on, or of the node
            from aiohttp import ClientError

            if isinstance(error, ClientError):
                raise Trouble(f"the node does not answer ({type(error).__name__}); it is asked again") from None
            raise Trouble(f"the node refuses: {without_addresses(_words(error))}") from None


def _words(error: Exception) -> str:
    """What the node said, where it said something."""
    answer: Any = getattr(error, "rpc_response", None)
    if isinstance(answer, dict) and isinstance(answer.get("error"), dict):
        return str(answer["error"].get("message", ""))
    return f"{type(error).__name__}: {error}"


def hexadecimal(content: bytes) -> str:
    """Bytes as chains write them."""
    return f"0x{bytes(content).hex()}"
