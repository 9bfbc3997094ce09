"""The registry of processor accounts: what organisations set, with secrets sealed, and a processor put together for each that is asked for."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB, insert

from services.kit.clock import Clock
from services.kit.database import Database, Tx
from services.kit.pagination import Page
from services.kit.sealing import Seal
from services.payments import refusals
from services.payments.processors.contract import Account, Means, Processor, ProcessorKind

PAYMENTS_KEY_FILE: Final = "payments_key"
SOURCE_NETWORKS: Final = "source_networks"
"""The setting that every kind has."""
_FRESH_FOR: Final = 1.0
"""Seconds for which an account is not looked up again."""
_MOST_KNOWN: Final = 4096

accounts: Final = sa.Table(
    "processor_accounts",
    sa.MetaData(),
    sa.Column("account_id", sa.Text, primary_key=True),
    sa.Column("organisation_id", sa.Text),
    sa.Column("processor", sa.Text),
    sa.Column("settings", JSONB),
    sa.Column("secrets", sa.LargeBinary),
    sa.Column("secret_names", JSONB),
    sa.Column("test_mode", sa.Boolean),
    sa.Column("disabled", sa.Boolean),
    sa.Column("version", sa.BigInteger),
    sa.Column("create_time", sa.DateTime(timezone=True)),
    sa.Column("update_time", sa.DateTime(timezone=True)),
)


@dataclass(frozen=True, slots=True)
class KeptAccount:
    """An account as it is kept.

    Attributes:
        secrets: sealed.
        version: counts changes from 1.
    """

    account_id: str
    organisation_id: str
    processor: str
    settings: Mapping[str, str]
    secrets: bytes = field(repr=False)
    secret_names: Sequence[str]
    test_mode: bool
    disabled: bool
    version: int
    create_time: datetime
    update_time: datetime


@dataclass(frozen=True, slots=True)
class Wanted:
    """How an account is to be.

    Attributes:
        secrets: by name; one that is empty is forgotten, those that are not named stay.
    """

    account_id: str
    processor: str
    settings: Mapping[str, str]
    secrets: Mapping[str, str] = field(repr=False)
    test_mode: bool = False
    disabled: bool = False


@dataclass(frozen=True, slots=True)
class Working:
    """An account that can be used.

    Attributes:
        networks: from where its webhooks come; empty for anywhere.
    """

    account: Account
    kind: ProcessorKind
    processor: Processor
    networks: tuple[IPv4Network | IPv6Network, ...]
    version: int
    disabled: bool

    def may_send_from(self, address: str) -> bool:
        """Whether a webhook may come from an address."""
        if not self.networks:
            return True
        try:
            source = ip_address(address)
        except ValueError:
            return False
        mapped = getattr(source, "ipv4_mapped", None)
        return any((mapped or source) in network for network in self.networks)


class Accounts:
    """All organisations' accounts.

    Args:
        seal: seals their secrets.
        means: what adapters are given.
        kinds: the adapters, by name.
        public_url: of this install, where webhooks arrive.
    """

    def __init__(
        self,
        database: Database,
        clock: Clock,
        *,
        seal: Seal,
        means: Means,
        kinds: Mapping[str, ProcessorKind],
        public_url: str,
    ) -> None:
        self._database = database
        self._clock = clock
        self._seal = seal
        self._means = means
        self._kinds = kinds
        self._public_url = public_url.rstrip("/")
        self._known: dict[str, tuple[float, Working | None]] = {}

    def notify_url(self, processor: str, account_id: str) -> str:
        """Where an account's webhooks go to."""
        return f"{self._public_url}/webhooks/{processor}/{account_id}"

    async def set(self, tx: Tx, organisation_id: str, wanted: Wanted) -> KeptAccount:
        """Makes an account, or sets it anew.

        Raises:
            Refusal: `PROCESSOR_ACCOUNT_INVALID` or `PROCESSOR_ACCOUNT_TAKEN`.
        """
        now = self._clock.now()
        await tx.execute(
            sa.text("SELECT pg_advisory_xact_lock(hashtextextended('processor account ' || :it, 0))"),
            {"it": wanted.account_id},
        )
        before = await _find(tx, wanted.account_id)
        if before and (before.organisation_id, before.processor) != (organisation_id, wanted.processor):
            raise refusals.processor_account_taken(wanted.account_id)
        secrets = {**(self._opened(before) if before else {}), **wanted.secrets}
        secrets = {name: value for name, value in secrets.items() if value}
        kept = KeptAccount(
            account_id=wanted.account_id,
            organisation_id=organisation_id,
            processor=wanted.processor,
            settings=dict(wanted.settings),
            secrets=self._seal.seal(json.dumps(secrets).encode(), f"processor account {wanted.account_id}"),
            secret_names=sorted(secrets),
            test_mode=wanted.test_mode,
            disabled=wanted.disabled,
            version=before.version + 1 if before else 1,
            create_time=before.create_time if before else now,
            update_time=now,
        )
        self._checked(kept, secrets)
        values = {name: getattr(kept, name) for name in KeptAccount.__slots__}
        upsert = insert(accounts).values(values).on_conflict_do_update(index_elements=["account_id"], set_=values)
        await tx.execute(upsert)
        return kept

    async def working(self, account_id: str) -> Working | None:
        """The account by its id, whosesoever it is, for webhooks; None when there is none. It may be a second old."""
        looked, known = self._known.get(account_id, (0.0, None))
        if looked and time.monotonic() - looked < _FRESH_FOR:
            return known
        async with self._database.transaction() as tx:
            return await self._look(tx, account_id)

    async def of_organisation(self, tx: Tx, organisation_id: str, account_id: str) -> Working:
        """An organisation's account.

        Raises:
            Refusal: NOT_FOUND `PROCESSOR_ACCOUNT_NOT_FOUND`.
        """
        found = await self._look(tx, account_id)
        if found is None or found.account.organisation_id != organisation_id:
            raise refusals.processor_account_not_found(account_id)
        return found

    async def first(self, tx: Tx, organisation_id: str) -> Working:
        """The first of an organisation's accounts, by id, that takes checkouts.

        Raises:
            Refusal: FAILED_PRECONDITION `NO_PROCESSOR_ACCOUNT`.
        """
        query = (
            sa.select(accounts.c.account_id)
            .where(accounts.c.organisation_id == organisation_id, accounts.c.disabled.is_(False))
            .order_by(accounts.c.account_id)
            .limit(1)
        )
        row = (await tx.execute(query)).one_or_none()
        found = await self._look(tx, row.account_id) if row else None
        if found is None:
            raise refusals.no_processor_account()
        return found

    async def all_with(self, tx: Tx, organisation_id: str, processor: str) -> Sequence[Working]:
        """All of an organisation's accounts with a processor, by id; those too that take no checkouts any more."""
        query = sa.select(accounts.c.account_id).where(
            accounts.c.organisation_id == organisation_id, accounts.c.processor == processor
        )
        ids = (await tx.execute(query.order_by(accounts.c.account_id))).scalars().all()
        return [found for account_id in ids if (found := await self._look(tx, account_id)) is not None]

    async def page(self, tx: Tx, organisation_id: str, part: Page) -> Sequence[KeptAccount]:
        """One page of an organisation's accounts by id, and one more to tell whether there is another page."""
        query = sa.select(accounts).where(accounts.c.organisation_id == organisation_id)
        if part.after:
            query = query.where(accounts.c.account_id > part.after)
        return [_kept(row) for row in await tx.execute(query.order_by(accounts.c.account_id).limit(part.size + 1))]

    async def _look(self, tx: Tx, account_id: str) -> Working | None:
        kept, (_, known) = await _find(tx, account_id), self._known.get(account_id, (0.0, None))
        if kept is None:
            known = None
        elif known is None or known.version != kept.version:
            known = self._put_together(kept, self._opened(kept))
        if len(self._known) >= _MOST_KNOWN:  # whoever asks for accounts that are not there fills no memory
            self._known.clear()
        self._known[account_id] = (time.monotonic(), known)
        return known

    def _opened(self, kept: KeptAccount) -> dict[str, str]:
        opened: dict[str, str] = json.loads(self._seal.open(kept.secrets, f"processor account {kept.account_id}"))
        return opened

    def _put_together(self, kept: KeptAccount, secrets: Mapping[str, str]) -> Working:
        """Raises ValueError when a setting is no good, KeyError when there is no such kind."""
        kind = self._kinds[kept.processor]
        account = Account(
            account_id=kept.account_id,
            organisation_id=kept.organisation_id,
            processor=kept.processor,
            notify_url=self.notify_url(kept.processor, kept.account_id),
            test_mode=kept.test_mode,
            settings=kept.settings,
            secrets=secrets,
        )
        written = kept.settings.get(SOURCE_NETWORKS, "")
        named = tuple(ip_network(part.strip()) for part in written.split(",") if part.strip())
        return Working(
            account, kind, kind.make(account, self._means), named or kind.source_networks, kept.version, kept.disabled
        )

    def _checked(self, kept: KeptAccount, secrets: Mapping[str, str]) -> None:
        kind = self._kinds.get(kept.processor)
        if kind is None:
            raise refusals.processor_account_invalid(
                "processor", f"there is an adapter for each of {', '.join(sorted(self._kinds))} only"
            )
        for field_name, given, must, may in (
            ("settings", kept.settings, kind.settings, {*kind.optional_settings, SOURCE_NETWORKS}),
            ("secrets", secrets, kind.secrets, {*kind.optional_secrets}),
        ):
            for name, what in must.items():
                if not given.get(name):
                    raise refusals.processor_account_invalid(f"{field_name}.{name}", f"is needed: {what}")
            for name in given:
                if name not in must and name not in may:
                    raise refusals.processor_account_invalid(
                        f"{field_name}.{name}", f"{kind.title} has no such; it has {', '.join(sorted({*must, *may}))}"
                    )
        try:
            self._put_together(kept, secrets)
        except ValueError as error:
            raise refusals.processor_account_invalid("settings", str(error)) from error


async def _find(tx: Tx, account_id: str) -> KeptAccount | None:
    row = (await tx.execute(sa.select(accounts).where(accounts.c.account_id == account_id))).one_or_none()
    return None if row is None else _kept(row)


def _kept(row: sa.Row[Any]) -> KeptAccount:
    return KeptAccount(**row._asdict())
