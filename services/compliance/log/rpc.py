"""The audit log's contract."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from typing import Any, Final

import grpc
from google.api import httpbody_pb2
from reelmesh.compliance.v1 import audit_log_service_pb2 as api
from reelmesh.compliance.v1 import audit_log_service_pb2_grpc, compliance_pb2

from services.compliance import refusals
from services.compliance.anchoring import store as anchors
from services.compliance.anchoring.calendars import MEDIA_TYPE
from services.compliance.anchoring.showing import key_of, shown_anchor, shown_standing
from services.compliance.log import proofs, slots, store
from services.compliance.log.disclosing import Discloser, Disclosure
from services.compliance.log.exporting import Wanted, exported
from services.compliance.log.leaves import event_time_of
from services.compliance.log.notes import VerifierKey, good_cosignatures, text_of
from services.kit.clock import Clock, timestamp
from services.kit.database import Database, Tx
from services.kit.pagination import page_of
from services.kit.sealing import Seal
from services.kit.server import current_call

Context = grpc.aio.ServicerContext[Any, Any]
_OPERATOR: Final = "operator"
_PART: Final = 1024 * 1024
"""Bytes of one message of an export: clients take 4 MiB."""


class AuditLogRpc(audit_log_service_pb2_grpc.AuditLogServiceServicer):
    """Shows the log and proves what is in it.

    Args:
        database: the service's own.
        clock: dates exports.
        key: by which checkpoints are judged.
        witnesses: whose cosignatures are taken.
        install: opens what is kept of what events said.
        ways: names of the ways of anchoring that are set.
    """

    def __init__(
        self,
        database: Database,
        clock: Clock,
        key: VerifierKey,
        witnesses: tuple[VerifierKey, ...],
        install: Seal,
        *,
        ways: tuple[str, ...] = (),
    ) -> None:
        self._database = database
        self._clock = clock
        self._key = key
        self._witnesses = witnesses
        self._discloser = Discloser(install)
        self._ways = ways

    async def GetCheckpoint(self, request: api.GetCheckpointRequest, context: Context) -> api.GetCheckpointResponse:
        """What the log signed."""
        async with self._database.transaction() as tx:
            found = await store.find_checkpoint(tx, request.tree_size, request.least_cosignatures)
        if found is None:
            raise refusals.checkpoint_not_found(request.tree_size)
        return api.GetCheckpointResponse(checkpoint=_checkpoint(found), verifier_key=str(self._key))

    async def GetInclusionProof(
        self, request: api.GetInclusionProofRequest, context: Context
    ) -> api.GetInclusionProofResponse:
        """That a leaf is in the log."""
        organisation_id = current_call().organisation_id
        async with self._database.transaction() as tx:
            size = await _latest_size(tx)
            tree_size = request.tree_size or size
            leaf = await store.find_leaf(tx, event_id=request.event_id, leaf_index=request.leaf_index)
            own = leaf is not None and leaf.organisation_id == organisation_id
            if leaf is None or (request.event_id and not own):
                raise refusals.leaf_not_found(request.event_id or str(request.leaf_index))
            if not leaf.leaf_index < tree_size <= size:
                raise refusals.tree_size_invalid(size)
            proof = await _proof(tx, leaf, tree_size)
            checkpoint = await store.find_checkpoint(tx, tree_size)
            shown = await self._leaf(tx, leaf) if own else None
        return api.GetInclusionProofResponse(
            proof=proof,
            checkpoint=None if checkpoint is None else _checkpoint(checkpoint),
            leaf=shown,
            tlog_proof=_tlog_proof(proof, leaf, checkpoint.note) if own and checkpoint is not None else "",
        )

    async def GetConsistencyProof(
        self, request: api.GetConsistencyProofRequest, context: Context
    ) -> api.GetConsistencyProofResponse:
        """That the log only grew."""
        async with self._database.transaction() as tx:
            size = await _latest_size(tx)
            second = request.second_tree_size or size
            if not request.first_tree_size <= second <= size:
                raise refusals.tree_size_invalid(size)
            hashes = await proofs.consistency(tx, request.first_tree_size, second)
        return api.GetConsistencyProofResponse(
            first_tree_size=request.first_tree_size, second_tree_size=second, hashes=hashes
        )

    async def ListLeaves(self, request: api.ListLeavesRequest, context: Context) -> api.ListLeavesResponse:
        """The organisation's leaves, newest first."""
        part = page_of(request)
        async with self._database.transaction() as tx:
            found = await store.leaves_page(tx, current_call().organisation_id, request.event_type, part)
            shown = found[: part.size]
            opened = await self._discloser.opened(tx, shown)
        return api.ListLeavesResponse(
            leaves=[_leaf(leaf, opened.get(leaf.leaf_index)) for leaf in shown],
            next_page_token=part.next_token(str(shown[-1].leaf_index)) if len(found) > part.size else "",
        )

    async def GetContentSlot(self, request: api.GetContentSlotRequest, context: Context) -> api.GetContentSlotResponse:
        """Where an asset's content stands, proved at once."""
        async with self._database.transaction() as tx:
            slot = await slots.find(tx, current_call().organisation_id, request.asset_id)
            if slot is None:
                raise refusals.slot_not_found(request.asset_id)
            at = slot.reserved_leaf_index if slot.committed_leaf_index is None else slot.committed_leaf_index
            leaf = await store.find_leaf(tx, leaf_index=at)
            checkpoint = await store.find_checkpoint(tx)
            if leaf is None or checkpoint is None or checkpoint.tree_size <= at:
                raise refusals.slot_not_found(request.asset_id)
            proof = await _proof(tx, leaf, checkpoint.tree_size)
            shown = await self._leaf(tx, leaf)
            anchor = await anchors.covering(tx, at)
            anchored = None if anchor is None else await _proof(tx, leaf, anchor.tree_size)
        return api.GetContentSlotResponse(
            slot=_slot(slot, "" if anchor is None else anchor.transaction_hash),
            leaf=shown,
            proof=proof,
            checkpoint=_checkpoint(checkpoint),
            tlog_proof=_tlog_proof(proof, leaf, checkpoint.note),
            anchor=None if anchor is None else shown_anchor(anchor),
            anchor_proof=anchored,
            anchor_tlog_proof="" if anchor is None or anchored is None else _tlog_proof(anchored, leaf, anchor.note),
        )

    async def ListAnchors(self, request: api.ListAnchorsRequest, context: Context) -> api.ListAnchorsResponse:
        """What lies elsewhere, and what does not yet."""
        part = page_of(request)
        async with self._database.transaction() as tx:
            found = await anchors.page(tx, request.tree_size, part)
            standings = [await anchors.standing(tx, way) for way in self._ways]
        shown = found[: part.size]
        return api.ListAnchorsResponse(
            anchors=[shown_anchor(one) for one in shown],
            next_page_token=part.next_token(key_of(shown[-1])) if len(found) > part.size else "",
            status=compliance_pb2.AnchoringStatus(standings=[shown_standing(one) for one in standings]),
        )

    async def GetAnchorFile(self, request: api.GetAnchorFileRequest, context: Context) -> api.GetAnchorFileResponse:
        """A timestamp that other people's programs verify."""
        async with self._database.transaction() as tx:
            found = await anchors.find(tx, request.anchor_id)
        if found is None:
            raise refusals.anchor_not_found(request.anchor_id)
        if not found.content:
            raise refusals.anchor_without_file(request.anchor_id)
        return api.GetAnchorFileResponse(file=httpbody_pb2.HttpBody(content_type=MEDIA_TYPE, data=found.content))

    async def GetExport(self, request: api.GetExportRequest, context: Context) -> AsyncIterator[api.GetExportResponse]:
        """The log as a file."""
        call = current_call()
        if request.every_record and (call.principal is None or call.principal.name != _OPERATOR):
            raise refusals.operator_only()
        wanted = Wanted(call.organisation_id, not request.without_content, request.every_record)
        async for lines in exported(self._database, self._discloser, self._key, wanted, self._clock.now()):
            for at in range(0, len(lines), _PART):
                yield api.GetExportResponse(part=lines[at : at + _PART])

    async def AddCosignature(self, request: api.AddCosignatureRequest, context: Context) -> api.AddCosignatureResponse:
        """Takes what witnesses signed."""
        async with self._database.transaction() as tx:
            found = await store.find_checkpoint(tx, request.tree_size) if request.tree_size else None
            if found is None:
                raise refusals.checkpoint_not_found(request.tree_size)
            good = good_cosignatures(text_of(found.note), request.lines, self._witnesses)
            if not good:
                raise refusals.cosignature_invalid()
            await store.add_cosignatures(tx, found.tree_size, good)
            cosigned = await store.find_checkpoint(tx, found.tree_size)
            assert cosigned is not None
        return api.AddCosignatureResponse(checkpoint=_checkpoint(cosigned))

    async def _leaf(self, tx: Tx, leaf: store.Leaf) -> compliance_pb2.Leaf:
        opened = await self._discloser.opened(tx, [leaf])
        return _leaf(leaf, opened.get(leaf.leaf_index))


async def _latest_size(tx: Tx) -> int:
    latest = await store.find_checkpoint(tx)
    return 0 if latest is None else latest.tree_size


async def _proof(tx: Tx, leaf: store.Leaf, tree_size: int) -> compliance_pb2.InclusionProof:
    return compliance_pb2.InclusionProof(
        leaf_index=leaf.leaf_index,
        tree_size=tree_size,
        leaf_hash=leaf.leaf_hash,
        hashes=await proofs.inclusion(tx, leaf.leaf_index, tree_size),
    )


def _checkpoint(found: store.Checkpoint) -> compliance_pb2.Checkpoint:
    return compliance_pb2.Checkpoint(
        tree_size=found.tree_size,
        root_hash=found.root,
        note=found.note,
        cosignatures=found.cosignatures,
        sign_time=timestamp(found.sign_time),
    )


def _leaf(leaf: store.Leaf, opened: object) -> compliance_pb2.Leaf:
    disclosure = None
    if isinstance(opened, Disclosure):
        disclosure = compliance_pb2.Disclosure(
            salt=opened.salt,
            payload=opened.payload,
            subjects=[
                compliance_pb2.DisclosedSubject(subject=one.subject.name, salt=one.salt) for one in opened.subjects
            ],
        )
    return compliance_pb2.Leaf(
        leaf_index=leaf.leaf_index,
        event_id=leaf.event_id,
        event_type=leaf.event_type,
        event_time=timestamp(event_time_of(leaf.record)),
        record=leaf.record.decode(errors="replace"),
        leaf_hash=leaf.leaf_hash,
        disclosure=disclosure,
    )


def _slot(slot: slots.Slot, transaction_hash: str) -> compliance_pb2.ContentSlot:
    return compliance_pb2.ContentSlot(
        asset_id=slot.asset_id,
        organisation_id=slot.organisation_id,
        content_sha256=slot.content_sha256,
        reserved_leaf_index=slot.reserved_leaf_index,
        reserve_time=timestamp(slot.reserve_time),
        committed=slot.committed_leaf_index is not None,
        committed_leaf_index=slot.committed_leaf_index or 0,
        package_id=slot.package_id,
        commit_time=timestamp(slot.commit_time),
        transaction_hash=transaction_hash,
    )


def _tlog_proof(proof: compliance_pb2.InclusionProof, leaf: store.Leaf, note: str) -> str:
    """A proof as a text (C2SP tlog-proof), with the record as its extra data."""
    lines = [
        "c2sp.org/tlog-proof@v1",
        f"extra {base64.b64encode(leaf.record).decode()}",
        f"index {proof.leaf_index}",
        *(base64.b64encode(one).decode() for one in proof.hashes),
        "",
        note,
    ]
    return "\n".join(lines)
