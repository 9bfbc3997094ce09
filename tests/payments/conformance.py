"""The plain HTTP adapter of the ledger-conformance-kit (technomorphcorporation), so that others can judge the ledger.

    python -m tests.payments.conformance --port 8099
    lck run --adapter http://127.0.0.1:8099 --capabilities OVERDRAFT_GUARD,REPLAY,COMPENSATION

It is part of the tests and of nothing that is installed. It has no setting for a database: it starts a Postgres of its own in a folder under /tmp,
which goes with it. An account of the kit is an account that grows by credits, one in each currency.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
from typing import Any, Final

import asyncpg
import sqlalchemy as sa
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from services.kit.clock import SystemClock
from services.kit.database import Database
from services.kit.errors import Refusal
from services.kit.ids import new_id
from services.kit.settings import ProcessSettings
from services.payments.ledger import store
from services.payments.ledger.domain import Account, AccountKind, Direction, Draft, EntryKind, Posting, Unbalanced
from tests.support.stores import running_stores

WRITERS: Final = 24
"""How many write at a time; the others wait here, as they do in the service. Fewer than Postgres has connections, and more than one by far."""
SCRATCH: Final = "/tmp/reelmesh-test-"


class NotScratch(Exception):
    """These stores may hold something that matters."""


class Adapter:
    """The four operations that the kit asks for."""

    def __init__(self, settings: ProcessSettings) -> None:
        if not str(settings.data_dir).startswith(SCRATCH):
            raise NotScratch(f"{settings.data_dir} was not made for tests")
        self._settings = settings
        self._database = Database.of("payments", settings.model_copy(update={"database_pool": WRITERS}))
        self._room = asyncio.Semaphore(WRITERS)
        self._clock = SystemClock()
        self._organisation_id = new_id("org")

    async def close(self) -> None:
        """Closes all connections."""
        await self._database.close()

    async def reset(self, _request: Request) -> Response:
        """Empties the ledger, which only the database's owner can, and only past the triggers."""
        owner = await asyncpg.connect(
            host=self._settings.database_host,
            user=self._settings.database_admin,
            database=self._settings.database_name,
        )
        try:
            tables = ("postings", "balances", "entries", "accounts")
            removals = "".join(f"DELETE FROM payments.{table};" for table in tables)
            await owner.execute(f"SET session_replication_role = replica; {removals}")
        finally:
            await owner.close()
        return JSONResponse({})

    async def post(self, request: Request) -> Response:
        """Makes an entry. That it is refused is an answer and not an error."""
        wanted = json.loads(await request.body())
        transaction_id = wanted.get("transactionId") or new_id("jnl")
        try:
            draft = self._draft(wanted, transaction_id)
            async with self._room, self._database.transaction() as tx:
                posted = await store.post(tx, draft, self._clock.now())
        except Unbalanced as error:
            return _answer("REJECTED", transaction_id, str(error))
        except Refusal as refusal:
            return _answer("REJECTED", transaction_id, f"{refusal.reason}: {refusal.message}")
        return _answer("APPLIED" if posted.fresh else "DUPLICATE", transaction_id, None)

    def _draft(self, wanted: dict[str, Any], transaction_id: str) -> Draft:
        guarded = not wanted.get("allowOverdraft", False)
        postings = tuple(
            Posting(
                Account(AccountKind.CREATOR_PENDING, leg["accountId"], leg["currency"]),
                Direction[leg["type"]],
                leg["amountSubunits"],
                guarded=guarded and leg["type"] == "DEBIT",
            )
            for leg in wanted["legs"]
        )
        content = hashlib.sha256(json.dumps([wanted["legs"], guarded], sort_keys=True).encode()).digest()
        return Draft(
            self._organisation_id,
            EntryKind.SALE,
            wanted["idempotencyKey"],
            content,
            postings,
            self._clock.now(),
            description=transaction_id,
        )

    async def balance(self, request: Request) -> Response:
        """What an account holds in a currency, in minor units."""
        account = Account(
            AccountKind.CREATOR_PENDING, request.query_params["account"], request.query_params.get("currency", "USD")
        )
        async with self._database.transaction() as tx:
            held = await store.balance_of(tx, self._organisation_id, account)
        return JSONResponse({"subunits": held.minor_units if held else 0})

    async def journal(self, _request: Request) -> Response:
        """Every posting, in the order in which those of each account were made."""
        query = (
            sa.select(store.postings, store.entries.c.description, store.accounts.c.owner_id)
            .join(store.entries, store.entries.c.entry_id == store.postings.c.entry_id)
            .join(store.accounts, store.accounts.c.account_id == store.postings.c.account_id)
            .order_by(store.postings.c.position)
        )
        async with self._database.transaction() as tx:
            rows = (await tx.execute(query)).all()
        return JSONResponse(
            [
                {
                    "entryId": str(row.position),
                    "transactionId": row.description,
                    "accountId": row.owner_id,
                    "type": Direction(row.direction).name,
                    "amountSubunits": row.minor_units,
                    "currency": row.currency,
                    "sequence": row.position,
                    "accountSequence": row.position,
                    "prevHash": "",
                    "entryHash": "",
                }
                for row in rows
            ]
        )

    def app(self) -> Starlette:
        """The adapter as a web application."""
        return Starlette(
            routes=[
                Route("/_lck/reset", self.reset, methods=["POST"]),
                Route("/_lck/post", self.post, methods=["POST"]),
                Route("/_lck/balance", self.balance, methods=["GET"]),
                Route("/_lck/journal", self.journal, methods=["GET"]),
            ]
        )


def _answer(status: str, transaction_id: str, reason: str | None) -> Response:
    return JSONResponse({"status": status, "transactionId": transaction_id, "reason": reason})


def main() -> None:
    """Serves until stopped."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--port", type=int, default=8099, help="port of 127.0.0.1")
    port = arguments.parse_args().port
    with running_stores() as settings:
        uvicorn.run(Adapter(settings).app(), host="127.0.0.1", port=port, log_level="warning")


if __name__ == "__main__":
    main()
