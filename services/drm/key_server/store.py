"""Tables of packagers outside of the mesh, and of what they got keys for. Their keys lie with all others, found by the content's id."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from services.drm.store import content_keys
from services.kit.database import Tx
from services.kit.pagination import Page

_METADATA: Final = sa.MetaData()

keyed_contents: Final = sa.Table(
    "keyed_contents",
    _METADATA,
    sa.Column("keyed_content_id", sa.Text, primary_key=True),
    sa.Column("organisation_id", sa.Text),
    sa.Column("protocol", sa.SmallInteger),
    sa.Column("content_sha256", sa.LargeBinary),
    sa.Column("content_id", sa.Text),
    sa.Column("create_time", sa.DateTime(timezone=True)),
)

packagers: Final = sa.Table(
    "packagers",
    _METADATA,
    sa.Column("packager_id", sa.Text, primary_key=True),
    sa.Column("organisation_id", sa.Text),
    sa.Column("display_name", sa.Text),
    sa.Column("signing_iv", sa.LargeBinary),
    sa.Column("signing_certificate", sa.LargeBinary),
    sa.Column("create_time", sa.DateTime(timezone=True)),
)


@dataclass(frozen=True, slots=True)
class KeyedContent:
    """Something that keys were asked for.

    Attributes:
        protocol: number of a `KeyProtocol`.
        content_sha256: of its name as bytes, by which it is found.
        content_id: its name, to show.
    """

    keyed_content_id: str
    organisation_id: str
    protocol: int
    content_sha256: bytes
    content_id: str
    create_time: datetime


@dataclass(frozen=True, slots=True)
class Packager:
    """Somebody who may sign requests. The key for that lies sealed among the content keys, under the packager's id.

    Attributes:
        signing_iv: initialization vector of signatures, 16 bytes; no secret.
        signing_certificate: of signed CPIX documents, DER; empty when there is none.
    """

    packager_id: str
    organisation_id: str
    display_name: str
    signing_iv: bytes
    signing_certificate: bytes
    create_time: datetime

    @property
    def certificate_sha256(self) -> str:
        """SHA-256 of the certificate in hex; empty when there is none."""
        return hashlib.sha256(self.signing_certificate).hexdigest() if self.signing_certificate else ""


_CONTENT: Final = [keyed_contents.c[field.name] for field in fields(KeyedContent)]
_PACKAGER: Final = [packagers.c[field.name] for field in fields(Packager)]


def _content(row: sa.Row[Any]) -> KeyedContent:
    return KeyedContent(**row._asdict())


def _packager(row: sa.Row[Any]) -> Packager:
    return Packager(**row._asdict())


async def found_or_added(tx: Tx, new: KeyedContent) -> KeyedContent:
    """The content of this organisation, protocol and name; the given one when there was none. It cannot be deleted until the transaction ends."""
    query = sa.select(*_CONTENT).where(
        keyed_contents.c.organisation_id == new.organisation_id,
        keyed_contents.c.protocol == new.protocol,
        keyed_contents.c.content_sha256 == new.content_sha256,
    )
    row = (await tx.execute(query.with_for_update(read=True))).one_or_none()
    if row is None:
        adding = insert(keyed_contents).values(**asdict(new))
        # Somebody else may have added it just now. An update that changes nothing returns theirs, and holds it.
        adding = adding.on_conflict_do_update(
            index_elements=[
                keyed_contents.c.organisation_id,
                keyed_contents.c.protocol,
                keyed_contents.c.content_sha256,
            ],
            set_={"content_id": adding.excluded.content_id},
        )
        row = (await tx.execute(adding.returning(*_CONTENT))).one()
    return _content(row)


async def contents_page(tx: Tx, organisation_id: str, part: Page) -> Sequence[KeyedContent]:
    """One page of an organisation's contents, newest first, and one more to tell whether there is another page."""
    query = (
        sa.select(*_CONTENT)
        .where(keyed_contents.c.organisation_id == organisation_id)
        .order_by(keyed_contents.c.keyed_content_id.desc())
        .limit(part.size + 1)
    )
    if part.after:
        query = query.where(keyed_contents.c.keyed_content_id < part.after)
    return [_content(row) for row in await tx.execute(query)]


async def remove_content(tx: Tx, organisation_id: str, keyed_content_id: str) -> KeyedContent | None:
    """Forgets a content. Returns what it was; None when there was none."""
    gone = (
        await tx.execute(
            sa.delete(keyed_contents)
            .where(
                keyed_contents.c.organisation_id == organisation_id,
                keyed_contents.c.keyed_content_id == keyed_content_id,
            )
            .returning(*_CONTENT)
        )
    ).one_or_none()
    if gone is None:
        return None
    return _content(gone)


async def remove_keys(tx: Tx, organisation_id: str, owner_id: str) -> list[bytes]:
    """Destroys the keys of a content or of a packager. Returns their ids."""
    gone = await tx.execute(
        sa.delete(content_keys)
        .where(content_keys.c.package_id == owner_id, content_keys.c.organisation_id == organisation_id)
        .returning(content_keys.c.key_id)
    )
    return sorted(bytes(key_id) for key_id in gone.scalars())


async def count_keys(tx: Tx, keyed_content_id: str) -> int:
    """How many keys a content has."""
    query = sa.select(sa.func.count()).select_from(content_keys)
    return int((await tx.execute(query.where(content_keys.c.package_id == keyed_content_id))).scalar_one())


async def add_packager(tx: Tx, new: Packager) -> None:
    """Keeps a new packager."""
    await tx.execute(sa.insert(packagers).values(**asdict(new)))


async def packager(tx: Tx, packager_id: str) -> Packager | None:
    """One packager, whoever's it is; None when there is none."""
    row = (await tx.execute(sa.select(*_PACKAGER).where(packagers.c.packager_id == packager_id))).one_or_none()
    return None if row is None else _packager(row)


async def signing_certificates(tx: Tx, organisation_id: str) -> list[bytes]:
    """Certificates (DER) that documents of an organisation may be signed with."""
    query = sa.select(packagers.c.signing_certificate).where(
        packagers.c.organisation_id == organisation_id, packagers.c.signing_certificate != b""
    )
    return [bytes(certificate) for certificate in (await tx.execute(query)).scalars()]


async def packagers_page(tx: Tx, organisation_id: str, part: Page) -> Sequence[Packager]:
    """One page of an organisation's packagers, newest first, and one more to tell whether there is another page."""
    query = (
        sa.select(*_PACKAGER)
        .where(packagers.c.organisation_id == organisation_id)
        .order_by(packagers.c.packager_id.desc())
        .limit(part.size + 1)
    )
    if part.after:
        query = query.where(packagers.c.packager_id < part.after)
    return [_packager(row) for row in await tx.execute(query)]


async def remove_packager(tx: Tx, organisation_id: str, packager_id: str) -> bool:
    """Forgets a packager. Tells whether there was one."""
    done = await tx.execute(
        sa.delete(packagers).where(
            packagers.c.organisation_id == organisation_id, packagers.c.packager_id == packager_id
        )
    )
    return done.rowcount > 0
