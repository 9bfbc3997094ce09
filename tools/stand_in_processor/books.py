"""What the stand-in knows, in one SQLite file: pages, transactions, and webhooks that are still to be delivered. Each change is one transaction."""

from __future__ import annotations

import json
import sqlite3
import time
import uuid
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, Final

_TABLES: Final = """
CREATE TABLE IF NOT EXISTS pages (
  page TEXT PRIMARY KEY, checkout_id TEXT UNIQUE NOT NULL, minor_units INTEGER NOT NULL, currency TEXT NOT NULL, title TEXT NOT NULL,
  return_url TEXT NOT NULL, cancel_url TEXT NOT NULL, notify_url TEXT NOT NULL, state TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS transactions (
  id TEXT PRIMARY KEY, kind TEXT NOT NULL, original TEXT NOT NULL, checkout_id TEXT NOT NULL, page TEXT NOT NULL, notify_url TEXT NOT NULL,
  minor_units INTEGER NOT NULL, currency TEXT NOT NULL, payment_method TEXT NOT NULL, time INTEGER NOT NULL, request_key TEXT UNIQUE);
CREATE INDEX IF NOT EXISTS transactions_by_original ON transactions (original);
CREATE INDEX IF NOT EXISTS transactions_by_time ON transactions (time);
CREATE TABLE IF NOT EXISTS deliveries (
  id TEXT PRIMARY KEY, url TEXT NOT NULL, body TEXT NOT NULL, attempts INTEGER NOT NULL, due REAL NOT NULL);
"""
_PAUSES: Final = (0.2, 1.0, 5.0, 30.0, 300.0, 3600.0)
_GIVEN_UP_AFTER: Final = 24
DECLINED_CHARGES: Final[Mapping[int, tuple[str, bool]]] = {13: ("no funds", True), 14: ("card is stolen", False)}
"""Charges of amounts that end in these minor units are declined, so that one can see what becomes of that."""


class Declined(Exception):
    """The stand-in will not.

    Attributes:
        retryable: whether it may another day.
    """

    def __init__(self, reason: str, *, retryable: bool = False) -> None:
        super().__init__(reason)
        self.retryable = retryable


class Books:
    """Opens the file, which is made when it is not there."""

    def __init__(self, file: Path) -> None:
        file.parent.mkdir(parents=True, exist_ok=True)
        self._db = sqlite3.connect(file, isolation_level=None)
        self._db.row_factory = sqlite3.Row
        self._db.executescript("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;" + _TABLES)

    def close(self) -> None:
        """Closes it."""
        self._db.close()

    def open_page(self, asked: Mapping[str, Any]) -> str:
        """Makes a page; the one that the checkout has, if it has one. Returns its id."""
        page = f"page_{uuid.uuid4().hex}"
        values = (
            page,
            str(asked["checkout_id"]),
            int(asked["minor_units"]),
            str(asked["currency"]),
            str(asked["title"]),
            str(asked["return_url"]),
            str(asked["cancel_url"]),
            str(asked["notify_url"]),
            "open",
        )
        self._db.execute("INSERT INTO pages VALUES (?,?,?,?,?,?,?,?,?) ON CONFLICT (checkout_id) DO NOTHING", values)
        row = self._db.execute("SELECT page FROM pages WHERE checkout_id = ?", (values[1],)).fetchone()
        return str(row["page"])

    def page(self, page: str) -> Mapping[str, Any] | None:
        """A page; None when there is none."""
        row = self._db.execute("SELECT * FROM pages WHERE page = ?", (page,)).fetchone()
        return None if row is None else dict(row)

    def sale_of(self, page: str) -> Mapping[str, Any] | None:
        """The sale that was made on a page; None when none was."""
        query = "SELECT * FROM transactions WHERE page = ? AND kind = 'sale'"
        row = self._db.execute(query, (page,)).fetchone()
        return None if row is None else dict(row)

    def approve(self, page: str) -> None:
        """The buyer pays. Paying twice is paying once."""
        with self._db:
            self._db.execute("BEGIN IMMEDIATE")
            shown = self.page(page)
            if shown is None or shown["state"] == "paid":
                return
            self._db.execute("UPDATE pages SET state = 'paid' WHERE page = ?", (page,))
            made = self._made("sale", shown, payment_method=f"pm_{uuid.uuid4().hex}", page=page)
            self._tell("sale.approved", made)

    def decline(self, page: str) -> None:
        """The buyer's bank does not want to."""
        with self._db:
            self._db.execute("BEGIN IMMEDIATE")
            shown = self.page(page)
            if shown is None or shown["state"] == "paid":
                return
            told = {**shown, "id": f"tx_{uuid.uuid4().hex}", "original": "", "payment_method": "", "time": _now()}
            self._tell("sale.declined", told, reason="declined on the page")

    def charge(self, asked: Mapping[str, Any], key: str) -> str:
        """Takes money by a payment method that was used before. Returns the transaction; the same for the same key.

        Raises:
            Declined: see `DECLINED_CHARGES`; or there is no such payment method.
        """
        with self._db:
            self._db.execute("BEGIN IMMEDIATE")
            if known := self._of_key(key):
                return known
            query = "SELECT * FROM transactions WHERE payment_method = ? AND kind = 'sale'"
            first = self._db.execute(query, (str(asked["payment_method"]),)).fetchone()
            if first is None:
                raise Declined("no such payment method")
            units = int(asked["minor_units"])
            if units % 100 in DECLINED_CHARGES:
                reason, retryable = DECLINED_CHARGES[units % 100]
                raise Declined(reason, retryable=retryable)
            paid = {**dict(first), "minor_units": units, "currency": str(asked["currency"])}
            made = self._made("charge", paid, payment_method=first["payment_method"], original=first["id"], key=key)
            self._tell("charge.approved", made)
            return str(made["id"])

    def refund(self, original: str, minor_units: int | None, key: str, kind: str = "refund") -> str:
        """Sends money back, or as `chargeback` has it taken back. Returns the transaction; the same for the same key.

        Raises:
            Declined: there is no such transaction, or so much is not left of it.
        """
        with self._db:
            self._db.execute("BEGIN IMMEDIATE")
            if known := self._of_key(key):
                return known
            sale = self.transaction(original)
            if sale is None or sale["kind"] not in {"sale", "charge"}:
                raise Declined("no such transaction")
            left = sale["minor_units"] - sale["refunded"]
            wanted = left if minor_units is None else minor_units
            if not 0 < wanted <= left:
                raise Declined("so much is not left")
            made = self._made(kind, {**sale, "minor_units": wanted}, original=sale["id"], key=key)
            self._tell(f"{kind}.made", made)
            return str(made["id"])

    def transaction(self, reference: str) -> Mapping[str, Any] | None:
        """A transaction, or that of a page, with how much of it went back; None when there is none."""
        query = "SELECT * FROM transactions WHERE id = ? OR (page = ? AND kind = 'sale')"
        row = self._db.execute(query, (reference, reference)).fetchone()
        if row is None:
            return None
        back = "SELECT coalesce(sum(minor_units), 0) AS back FROM transactions WHERE original = ? AND kind IN ('refund', 'chargeback')"
        return {**dict(row), "refunded": self._db.execute(back, (row["id"],)).fetchone()["back"]}

    def report(self, day: date, notify_url: str = "") -> list[Mapping[str, Any]]:
        """All transactions of a day (UTC), oldest first; only those that were told to a URL, if one is named: several merchants may share a key."""
        start = int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp())
        end = start + int(timedelta(days=1).total_seconds())
        query = (
            "SELECT id, kind, original, checkout_id, minor_units, currency, time FROM transactions"
            " WHERE time >= ? AND time < ? AND ? IN ('', notify_url) ORDER BY time, rowid"
        )
        return [dict(row) for row in self._db.execute(query, (start, end, notify_url))]

    def due(self) -> Mapping[str, Any] | None:
        """The webhook that is to be delivered next; None when none is due."""
        query = "SELECT * FROM deliveries WHERE due <= ? ORDER BY due LIMIT 1"
        row = self._db.execute(query, (time.time(),)).fetchone()
        return None if row is None else dict(row)

    def delivered(self, delivery: str) -> None:
        """A webhook was acknowledged."""
        self._db.execute("DELETE FROM deliveries WHERE id = ?", (delivery,))

    def undelivered(self, delivery: Mapping[str, Any]) -> None:
        """A webhook was not acknowledged: it is sent again later, and given up after a day."""
        attempts = int(delivery["attempts"]) + 1
        if attempts >= _GIVEN_UP_AFTER:
            self.delivered(str(delivery["id"]))
            return
        due = time.time() + _PAUSES[min(attempts, len(_PAUSES)) - 1]
        self._db.execute("UPDATE deliveries SET attempts = ?, due = ? WHERE id = ?", (attempts, due, delivery["id"]))

    def _of_key(self, key: str) -> str:
        row = self._db.execute("SELECT id FROM transactions WHERE request_key = ?", (key,)).fetchone()
        return "" if row is None else str(row["id"])

    def _made(
        self,
        kind: str,
        like: Mapping[str, Any],
        *,
        payment_method: str = "",
        original: str = "",
        page: str = "",
        key: str = "",
    ) -> dict[str, Any]:
        made = {
            "id": f"tx_{uuid.uuid4().hex}",
            "kind": kind,
            "original": original,
            "checkout_id": like["checkout_id"],
            "page": page,
            "notify_url": like["notify_url"],
            "minor_units": like["minor_units"],
            "currency": like["currency"],
            "payment_method": payment_method,
            "time": _now(),
            "request_key": key or None,
        }
        self._db.execute("INSERT INTO transactions VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", tuple(made.values()))
        return made

    def _tell(self, kind: str, about: Mapping[str, Any], reason: str = "") -> None:
        event = {
            "id": f"evt_{uuid.uuid4().hex}",
            "type": kind,
            "time": about["time"],
            "transaction": about["id"],
            "original": about["original"],
            "checkout_id": about["checkout_id"],
            "minor_units": about["minor_units"],
            "currency": about["currency"],
            "payment_method": about["payment_method"],
            "reason": reason,
        }
        values = (event["id"], about["notify_url"], json.dumps(event), time.time())
        self._db.execute("INSERT INTO deliveries VALUES (?, ?, ?, 0, ?)", values)


def _now() -> int:
    return int(time.time())
