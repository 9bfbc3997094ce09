"""Writes, signs and follows notices."""

from __future__ import annotations

import asyncio
import hashlib
import tempfile
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from services.kit.clock import Clock
from services.kit.database import Tx
from services.kit.events import announce
from services.kit.ids import new_id
from services.kit.storage import ObjectStore
from services.protection.leaks import announcements, refusals, store, takedown_store
from services.protection.leaks.document import drawn
from services.protection.leaks.domain import EvidenceKind
from services.protection.leaks.platforms import Platforms
from services.protection.leaks.rules import RuleBook
from services.protection.leaks.takedown_store import Reminder
from services.protection.leaks.takedowns import Carrier, Counter, Kind, State, Takedown, document_key
from services.protection.leaks.wording import Notifier, Wording, worded

_REMINDED_FOR: Final = timedelta(days=1)


class Noticing:
    """Moves notices on, each within the transaction that it is told in."""

    def __init__(self, objects: ObjectStore, clock: Clock, rules: RuleBook, platforms: Platforms) -> None:
        self._objects = objects
        self._clock = clock
        self._rules = rules
        self._platforms = platforms

    async def prepare(  # all that a notice says
        self, tx: Tx, organisation_id: str, case_id: str, *, kind: Kind, work: str, email: str, actor: str
    ) -> Takedown:
        """Writes a notice.

        Raises:
            Refusal: LEAK_CASE_NOT_FOUND, LEAK_CASE_CLOSED, TAKEDOWN_URL_MISSING, TAKEDOWN_NOTIFIER_MISSING.
        """
        now = self._clock.now()
        case = (await store.case_of(tx, organisation_id, case_id)).open()
        if not case.url:
            raise refusals.url_missing(case_id)
        notifier = await takedown_store.notifier_of(tx, organisation_id)
        platform = self._platforms.of(case.url, case.platform)
        draft = Takedown(
            takedown_id=new_id("tkd"),
            case_id=case_id,
            organisation_id=organisation_id,
            kind=kind,
            platform=platform.name,
            url=case.url,
            title_asset_id=case.title_asset_id,
            work=work,
            carrier=Carrier.EMAIL if email else platform.carried_by,
            destination=email or platform.destination,
            text="",
            document_sha256="",
            create_time=now,
        )
        draft = await self._written(tx, draft, notifier, "", now)
        await takedown_store.add(tx, draft)
        await announce(tx, announcements.takedown_changed(draft, actor, now))
        return draft

    async def sign(self, tx: Tx, organisation_id: str, takedown_id: str, signature: str, actor: str) -> Takedown:
        """Signs a notice, to be sent.

        Raises:
            Refusal: TAKEDOWN_NOT_FOUND, TAKEDOWN_STATE_WRONG, TAKEDOWN_SIGNATURE_WRONG, TAKEDOWN_NOTIFIER_MISSING.
        """
        now = self._clock.now()
        before = await takedown_store.get(tx, organisation_id, takedown_id, for_update=True)
        notifier = await takedown_store.notifier_of(tx, organisation_id)
        if " ".join(signature.split()) != notifier.signatory:
            raise refusals.signature_wrong()
        after = before.signed(notifier.signatory, new_id("msg"), actor, now)
        after = await self._written(tx, after, notifier, notifier.signatory, now)
        await takedown_store.put(tx, after)
        await announce(tx, announcements.takedown_changed(after, actor, now))
        return after

    async def _written(self, tx: Tx, takedown: Takedown, notifier: Notifier, signature: str, now: datetime) -> Takedown:
        """The notice with its text and its PDF, which lies in the store from then on."""
        case = await store.case_of(tx, takedown.organisation_id, takedown.case_id)
        films = [
            one for one in await store.evidence_of_case(tx, takedown.case_id) if one.kind is not EvidenceKind.FINDING
        ]
        wording = worded(takedown.kind, case, films, notifier, work=takedown.work, signature=signature, now=now)
        document = await asyncio.to_thread(drawn, wording, notifier, takedown.takedown_id)
        sha256 = hashlib.sha256(document).hexdigest()
        with tempfile.TemporaryDirectory(prefix="reelmesh-takedown-") as folder:
            file = Path(folder) / f"{sha256}.pdf"
            await asyncio.to_thread(file.write_bytes, document)
            await self._objects.add_file(file, document_key(takedown.organisation_id, sha256))
        return replace(takedown, text=wording.text, document_sha256=sha256)

    async def document(self, takedown: Takedown) -> bytes:
        """The PDF of a notice."""
        async with self._objects.local_copy(takedown.document_key) as file:
            return await asyncio.to_thread(file.read_bytes)

    async def record(  # all that a step says
        self,
        tx: Tx,
        organisation_id: str,
        takedown_id: str,
        state: State,
        *,
        actor: str,
        comment: str,
        reference: str = "",
        counter: Counter | None = None,
    ) -> Takedown:
        """Keeps what happened to a notice.

        Raises:
            Refusal: TAKEDOWN_NOT_FOUND, TAKEDOWN_STATE_WRONG.
        """
        now = self._clock.now()
        before = await takedown_store.get(tx, organisation_id, takedown_id, for_update=True)
        after = before.recorded(state, actor, comment, now, self._rules.at(now), reference=reference, counter=counter)
        await takedown_store.put(tx, after)
        if after.state is not before.state:
            await announce(tx, announcements.takedown_changed(after, actor, now))
        return after

    def counter_notice(self, name: str, statement: str, receive_time: datetime) -> Counter:
        """A counter-notice with its business days, by the rules of now."""
        return Counter.received(name, statement, receive_time, self._rules.at(self._clock.now()))

    async def remind(self, tx: Tx) -> None:
        """Tells of notices that somebody should look at, once for each time that they should: by event, and by e-mail to the notifier."""
        now = self._clock.now()
        for takedown in await takedown_store.to_remind_of(tx, now):
            await takedown_store.put(tx, takedown.reminded())
            await announce(tx, announcements.takedown_due(takedown, now))
            notifier = await takedown_store.notifier_of(tx, takedown.organisation_id)
            parameters = {
                "takedown": takedown.takedown_id,
                "platform": takedown.platform,
                "state": takedown.state.name.lower(),
                "what": _what(takedown, now),
            }
            await takedown_store.add_reminder(
                tx, Reminder(new_id("msg"), notifier.email, parameters, 0, now, now + _REMINDED_FOR)
            )

    def wording(self, takedown: Takedown) -> Wording:
        """A notice in words."""
        return Wording.of(takedown.text)


def _what(takedown: Takedown, now: datetime) -> str:
    """What somebody should do about a notice, on one line."""
    match takedown.state:
        case State.SIGNED if takedown.failure:
            return f"It could not be sent: {takedown.failure}. Mend it and sign it again."
        case State.SIGNED:
            return "Fill in the platform's form with it, and record that it was sent."
        case State.COUNTERED if takedown.counter is not None:
            start = takedown.counter.restore_from.date().isoformat()
            return f"The platform may put the copy back from {start} on, unless it hears before that a suit was filed."
        case State.REMOVED:
            return "Look whether the copy came back."
        case _ if takedown.overdue(now):
            return "The platform's term has passed. Look whether the copy is gone, and press for it if it is not."
        case _:
            return "Look whether the copy is gone, and record what you find."
