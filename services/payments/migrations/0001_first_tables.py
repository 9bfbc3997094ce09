"""The ledger, and what is sold.

The ledger's rules are held by the database itself, whoever writes: entries balance, nothing of them is ever changed or removed, and balances move
with postings and by nothing else. The role of the service owns the tables and still has no right to change what is written: it would have to
give it to itself first, and would then meet the triggers.

Accounts, entries and postings have no foreign keys between them. A foreign key locks the row that it points to, which needs the right to
change it; and since no row of these tables ever goes away, a look when a posting is made is worth as much.

Functions name their search path, temporary tables last: nobody can put a table of their own before one of these.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

from services.kit.database import KIT_TABLES

revision = "payments_0001"
down_revision = None
branch_labels = None
depends_on = None

# Sides as in the contract: 1 debit, 2 credit.
_MOVES_BALANCE = """
CREATE FUNCTION moves_balance() RETURNS trigger LANGUAGE plpgsql SET search_path = payments, pg_temp AS $$
DECLARE
  account accounts;
  held balances;
BEGIN
  SELECT * INTO account FROM accounts WHERE account_id = NEW.account_id;
  IF NOT FOUND OR account.currency <> NEW.currency
     OR NOT EXISTS (SELECT FROM entries WHERE entry_id = NEW.entry_id AND organisation_id = account.organisation_id) THEN
    RAISE EXCEPTION 'the posting fits no entry and account' USING ERRCODE = 'RML01';
  END IF;
  INSERT INTO balances AS known (account_id, debits, credits, postings, book_time)
  VALUES (
    NEW.account_id,
    CASE NEW.direction WHEN 1 THEN NEW.minor_units ELSE 0 END,
    CASE NEW.direction WHEN 2 THEN NEW.minor_units ELSE 0 END,
    1,
    NEW.book_time
  )
  ON CONFLICT (account_id) DO UPDATE SET
    debits = known.debits + excluded.debits,
    credits = known.credits + excluded.credits,
    postings = known.postings + 1,
    book_time = greatest(known.book_time, excluded.book_time)
  RETURNING * INTO held;
  -- From here on the account is ours until the transaction ends, so that these count its postings in the order in which they are committed.
  NEW.number := held.postings;
  NEW.balance := CASE WHEN account.debit_normal THEN held.debits - held.credits ELSE held.credits - held.debits END;
  NEW.book_time := held.book_time;
  NEW.position := nextval('posting_positions');
  RETURN NEW;
END $$
"""

_WHOLE = """
CREATE FUNCTION check_whole(checked_entry_id text) RETURNS void LANGUAGE plpgsql SET search_path = payments, pg_temp AS $$
DECLARE
  wanted integer := (SELECT posting_count FROM entries WHERE entry_id = checked_entry_id);
BEGIN
  IF wanted IS DISTINCT FROM (SELECT count(*) FROM postings WHERE entry_id = checked_entry_id) OR wanted < 2 THEN
    RAISE EXCEPTION 'entry % has not the postings that it was made with', checked_entry_id USING ERRCODE = 'RML02';
  END IF;
  IF EXISTS (
    SELECT FROM postings WHERE entry_id = checked_entry_id
    GROUP BY currency HAVING sum(CASE direction WHEN 1 THEN minor_units ELSE -minor_units::numeric END) <> 0
  ) THEN
    RAISE EXCEPTION 'entry % does not balance', checked_entry_id USING ERRCODE = 'RML03';
  END IF;
END $$
"""

_ENTRY_WHOLE = """
CREATE FUNCTION entry_whole() RETURNS trigger LANGUAGE plpgsql SET search_path = payments, pg_temp AS $$
BEGIN
  PERFORM check_whole(NEW.entry_id);
  RETURN NULL;
END $$
"""

_POSTINGS_WHOLE = """
CREATE FUNCTION postings_whole() RETURNS trigger LANGUAGE plpgsql SET search_path = payments, pg_temp AS $$
BEGIN
  PERFORM check_whole(entry_id) FROM (SELECT DISTINCT entry_id FROM made) AS touched;
  RETURN NULL;
END $$
"""

_APPEND_ONLY = """
CREATE FUNCTION append_only() RETURNS trigger LANGUAGE plpgsql SET search_path = payments, pg_temp AS $$
BEGIN
  RAISE EXCEPTION 'the ledger is append-only: % of % is refused', TG_OP, TG_TABLE_NAME USING ERRCODE = 'RML04';
END $$
"""

_BY_POSTINGS_ONLY = """
CREATE FUNCTION by_postings_only() RETURNS trigger LANGUAGE plpgsql SET search_path = payments, pg_temp AS $$
BEGIN
  IF pg_trigger_depth() < 2 OR TG_OP NOT IN ('INSERT', 'UPDATE') THEN
    RAISE EXCEPTION 'balances move by postings only: % is refused', TG_OP USING ERRCODE = 'RML05';
  END IF;
  RETURN NULL;
END $$
"""


def _time(name: str, *, nullable: bool = False) -> sa.Column[object]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable)


def upgrade() -> None:
    """All tables, and the kit's own."""
    KIT_TABLES.create_all(op.get_bind())
    _ledger()
    _guards()
    _sales()
    _rules()


def _accounts() -> None:
    op.create_table(
        "accounts",
        sa.Column("account_id", sa.Text, primary_key=True),
        sa.Column("organisation_id", sa.Text, nullable=False),
        sa.Column("kind", sa.SmallInteger, nullable=False),
        sa.Column("owner_id", sa.Text, nullable=False),
        sa.Column("currency", sa.Text, nullable=False),
        sa.Column("debit_normal", sa.Boolean, nullable=False),
        _time("create_time"),
        sa.UniqueConstraint("organisation_id", "kind", "owner_id", "currency", name="one_account"),
    )
    op.create_table(
        "balances",
        sa.Column("account_id", sa.Text, primary_key=True),
        sa.Column("debits", sa.BigInteger, nullable=False),
        sa.Column("credits", sa.BigInteger, nullable=False),
        sa.Column("postings", sa.BigInteger, nullable=False),
        _time("book_time"),
        # Updated all the time, and no column of an index with it: room on the page keeps the updates there.
        postgresql_with={"fillfactor": "50"},
    )


def _ledger() -> None:
    _accounts()
    op.create_table(
        "entries",
        sa.Column("entry_id", sa.Text, primary_key=True),
        sa.Column("organisation_id", sa.Text, nullable=False),
        sa.Column("kind", sa.SmallInteger, nullable=False),
        sa.Column("reference", sa.Text, nullable=False),
        sa.Column("content_sha256", sa.LargeBinary, nullable=False),
        sa.Column("posting_count", sa.Integer, nullable=False),
        sa.Column("reverses_entry_id", sa.Text, nullable=False),
        sa.Column("description", sa.Text, nullable=False),
        _time("occur_time"),
        _time("create_time"),
        sa.UniqueConstraint("organisation_id", "reference", name="one_reference"),
    )
    op.create_index("entries_by_organisation", "entries", ["organisation_id", sa.text("entry_id DESC")])
    op.create_index("entries_by_reversed", "entries", ["reverses_entry_id"])
    # 4 and 5 undo an entry as a whole; refunds and chargebacks take parts of one back.
    op.create_index(
        "one_reversal", "entries", ["reverses_entry_id"], unique=True, postgresql_where=sa.text("kind IN (4, 5)")
    )
    op.create_table(
        "postings",
        # Grows in the order in which the postings of any one account were made.
        sa.Column("position", sa.BigInteger, primary_key=True),
        sa.Column("entry_id", sa.Text, nullable=False),
        sa.Column("account_id", sa.Text, nullable=False),
        sa.Column("currency", sa.Text, nullable=False),
        sa.Column("direction", sa.SmallInteger, nullable=False),
        sa.Column("minor_units", sa.BigInteger, nullable=False),
        sa.Column("guarded", sa.Boolean, nullable=False),
        sa.Column("number", sa.BigInteger, nullable=False),
        sa.Column("balance", sa.BigInteger, nullable=False),
        _time("book_time"),
        sa.CheckConstraint("direction IN (1, 2)", name="one_side"),
        sa.CheckConstraint("minor_units > 0", name="above_zero"),
        sa.CheckConstraint("balance >= 0 OR NOT guarded", name="no_overdraft"),
        sa.UniqueConstraint("entry_id", "account_id", name="one_posting"),
        sa.UniqueConstraint("account_id", "number", name="in_order"),
    )
    op.create_index("postings_by_time", "postings", ["account_id", "book_time", "number"])
    op.execute("CREATE SEQUENCE posting_positions OWNED BY postings.position")


def _guards() -> None:
    for function in (_MOVES_BALANCE, _WHOLE, _ENTRY_WHOLE, _POSTINGS_WHOLE, _APPEND_ONLY, _BY_POSTINGS_ONLY):
        op.execute(function)
    op.execute("CREATE TRIGGER moves_balance BEFORE INSERT ON postings FOR EACH ROW EXECUTE FUNCTION moves_balance()")
    op.execute(
        "CREATE CONSTRAINT TRIGGER entry_whole AFTER INSERT ON entries DEFERRABLE INITIALLY DEFERRED"
        " FOR EACH ROW EXECUTE FUNCTION entry_whole()"
    )
    op.execute(
        "CREATE TRIGGER postings_whole AFTER INSERT ON postings REFERENCING NEW TABLE AS made"
        " FOR EACH STATEMENT EXECUTE FUNCTION postings_whole()"
    )
    for table in ("accounts", "entries", "postings"):
        op.execute(
            f"CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {table}"
            " FOR EACH STATEMENT EXECUTE FUNCTION append_only()"
        )
        op.execute(f"REVOKE UPDATE, DELETE, TRUNCATE ON {table} FROM CURRENT_USER")
    op.execute(
        "CREATE TRIGGER by_postings_only BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON balances"
        " FOR EACH STATEMENT EXECUTE FUNCTION by_postings_only()"
    )
    op.execute("REVOKE DELETE, TRUNCATE ON balances FROM CURRENT_USER")


def _sales() -> None:
    op.create_table(
        "sales",
        sa.Column("sale_id", sa.Text, primary_key=True),
        sa.Column("organisation_id", sa.Text, nullable=False),
        sa.Column("entry_id", sa.Text, nullable=False, unique=True),
        sa.Column("processor", sa.Text, nullable=False),
        sa.Column("reference", sa.Text, nullable=False),
        sa.Column("viewer_id", sa.Text, nullable=False),
        sa.Column("gross", sa.BigInteger, nullable=False),
        sa.Column("currency", sa.Text, nullable=False),
        sa.Column("split_rules_version", sa.BigInteger, nullable=False),
        sa.Column("parts", JSONB, nullable=False),
        sa.Column("refunded", sa.BigInteger, nullable=False),
        sa.Column("charged_back", sa.BigInteger, nullable=False),
        sa.Column("reversed", sa.Boolean, nullable=False),
        sa.Column("entitlement_id", sa.Text, nullable=False),
        # What was granted, as the contract's Grant. Absent when nothing was.
        sa.Column("granted", sa.LargeBinary),
        sa.Column("entitled", sa.Boolean, nullable=False),
        # When the entitlement was announced last. Absent when there is none.
        _time("entitle_time", nullable=True),
        _time("sell_time"),
        _time("create_time"),
    )
    op.create_index("sales_by_organisation", "sales", ["organisation_id", sa.text("sale_id DESC")])
    op.create_index("sales_by_viewer", "sales", ["organisation_id", "viewer_id", sa.text("sale_id DESC")])
    op.create_index("sales_by_reference", "sales", ["organisation_id", "reference"])
    op.create_table(
        "takebacks",
        sa.Column("entry_id", sa.Text, primary_key=True),
        sa.Column("sale_id", sa.Text, nullable=False),
        sa.Column("kind", sa.SmallInteger, nullable=False),
        # How much of each part of the sale, in the order of its parts.
        sa.Column("taken", JSONB, nullable=False),
        sa.Column("revoked", sa.Boolean, nullable=False),
        sa.Column("reversed", sa.Boolean, nullable=False),
    )
    op.create_index("takebacks_by_sale", "takebacks", ["sale_id"])


def _rules() -> None:
    op.create_table(
        "split_rules",
        sa.Column("organisation_id", sa.Text, primary_key=True),
        sa.Column("version", sa.BigInteger, primary_key=True),
        sa.Column("platform", sa.Integer, nullable=False),
        sa.Column("tax", sa.Integer, nullable=False),
        sa.Column("fee", sa.Integer, nullable=False),
        sa.Column("reserve", sa.Integer, nullable=False),
        sa.Column("fee_kept_on_refund", sa.Boolean, nullable=False),
        sa.Column("chargeback_fee_on_creators", sa.Boolean, nullable=False),
        sa.Column("comment", sa.Text, nullable=False),
        _time("create_time"),
        _time("activate_time", nullable=True),
    )
    op.create_table(
        "active_split_rules",
        sa.Column("organisation_id", sa.Text, primary_key=True),
        sa.Column("version", sa.BigInteger, nullable=False),
    )
