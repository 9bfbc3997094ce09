"""What this service itself has of a person beside its tables: the audit log's events about them, and their requests."""

from __future__ import annotations

import json
from typing import Final

import sqlalchemy as sa
from google.protobuf import json_format
from reelmesh.rpc.v1 import personal_data_service_pb2 as api

from services.compliance.log import store as log_store
from services.compliance.log.disclosing import Discloser, Disclosure
from services.compliance.log.erasing import erase_subject
from services.compliance.log.keys import SubjectKeys
from services.compliance.log.subjects import Subject, read
from services.compliance.rights import store
from services.compliance.rights.archive import Table
from services.compliance.rights.store import Subjects
from services.kit.database import Database, Tx
from services.kit.personal import DataSubject
from services.kit.sealing import Seal

_AT_ONCE: Final = 256
_LEAVES: Final = sa.text(
    "SELECT about.leaf_index FROM log_content_subjects about JOIN log_subject_keys keys USING (key_id)"
    " WHERE keys.subject_digest = :digest AND about.leaf_index > :after ORDER BY about.leaf_index LIMIT :most"
)


class Own:
    """The audit log and the log of requests, by person.

    Args:
        database: the service's own.
        install: opens what is kept of what events said.
    """

    def __init__(self, database: Database, install: Seal) -> None:
        self._database = database
        self._install = install
        self._discloser = Discloser(install)
        self._subjects = Subjects(install)

    async def tables(self, subject: DataSubject) -> list[Table]:
        """What is in no declaration."""
        return [
            ("audit_log", "events that name the person", await self._events(subject)),
            ("own_requests", "what the person asked about their data", await self._requests(subject)),
        ]

    async def shredded(self, tx: Tx, subject: DataSubject) -> api.ErasePersonalDataResponse:
        """Destroys the person's key in the audit log: what leaves committed to cannot be opened any more, and their proofs stay."""
        leaves = await erase_subject(tx, self._install, Subject(subject.scope, subject.name))
        receipt = api.ErasePersonalDataResponse()
        if leaves:
            receipt.tables.add(table="log_contents", action=api.ERASURE_ACTION_SHREDDED, row_count=leaves)
        return receipt

    async def _events(self, subject: DataSubject) -> bytes:
        digest, after, lines = (
            SubjectKeys(self._install).digest(Subject(subject.scope, subject.name)),
            -1,
            list[bytes](),
        )
        while True:
            async with self._database.transaction() as tx:
                asked = {"digest": digest, "after": after, "most": _AT_ONCE}
                places = list((await tx.execute(_LEAVES, asked)).scalars())
                if not places:
                    return b"\n".join(lines)
                leaves = [leaf for place in places if (leaf := await log_store.find_leaf(tx, leaf_index=place))]
                opened = await self._discloser.opened(tx, leaves)
            after = places[-1]
            for leaf in leaves:
                disclosed = opened.get(leaf.leaf_index)
                if isinstance(disclosed, Disclosure):
                    lines.append(_event(leaf, disclosed))

    async def _requests(self, subject: DataSubject) -> bytes:
        query = (
            sa.select(
                store.requests.c.data_request_id,
                store.requests.c.kind,
                store.requests.c.state,
                store.requests.c.receive_time,
                store.requests.c.due_time,
                store.requests.c.end_time,
            )
            .where(store.requests.c.subject_digest == self._subjects.digest(subject))
            .order_by(store.requests.c.data_request_id)
        )
        async with self._database.transaction() as tx:
            rows = [row._asdict() for row in await tx.execute(query)]
        return b"\n".join(json.dumps(row, default=str).encode() for row in rows)


def _event(leaf: log_store.Leaf, disclosed: Disclosure) -> bytes:
    event = read(leaf.event_type, disclosed.payload)
    content = json_format.MessageToDict(event.message, preserving_proto_field_name=True) if event else {}
    told = {"leaf_index": leaf.leaf_index, "event_id": leaf.event_id, "event_type": leaf.event_type, "content": content}
    return json.dumps(told, ensure_ascii=False).encode()
