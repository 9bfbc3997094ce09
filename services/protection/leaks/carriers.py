"""Takes signed notices to platforms, and reminders to people. Each is handed over under an id that stays the same until it was taken, so that
one which is handed over twice, after a death in between, arrives once."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final, Protocol

import grpc
import httpx
import structlog
from reelmesh.notifications.v1 import notifications_pb2, notifications_service_pb2_grpc
from reelmesh.notifications.v1 import notifications_service_pb2 as api

from services.kit import telemetry
from services.kit.clock import Clock
from services.kit.database import Database
from services.kit.errors import Refusal
from services.kit.events import announce
from services.kit.settings import ProcessSettings
from services.kit.uncancelled import heed_cancellation
from services.protection.leaks import announcements, takedown_store
from services.protection.leaks.rules import RuleBook
from services.protection.leaks.takedowns import OURSELVES, Carrier, State, Takedown
from services.protection.leaks.wording import Wording

log = structlog.stdlib.get_logger()

FIRST_PAUSE: Final = timedelta(seconds=2)
LONGEST_PAUSE: Final = timedelta(minutes=30)
_DEADLINE: Final = 30.0
_TIMEOUTS: Final = httpx.Timeout(20.0, connect=5.0)
_HOPELESS: Final = frozenset(
    {
        "ADDRESS_REFUSED",
        "ADDRESS_INVALID",
        "OUTCOME_UNKNOWN",
        "TEMPLATE_UNKNOWN",
        "PARAMETER_INVALID",
        "REQUEST_INVALID",
    }
)
_LONGEST_REFERENCE: Final = 200


class NotNow(Exception):
    """It was not taken, and may be tried again later."""


class Never(Exception):
    """It will not be taken so; somebody has to look at it."""


class Carrying(Protocol):
    """A way to a platform."""

    async def carry(self, takedown: Takedown) -> str:
        """Hands a notice over. Returns the number or name that the platform gave it; empty when it gave none.

        Raises:
            NotNow, Never: see there.
        """
        ...


class ByEmail:
    """By the notifications service, which knows by the id whether a message was sent. `channel` leads there."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub: Any = notifications_service_pb2_grpc.NotificationsServiceStub(channel)

    async def carry(self, takedown: Takedown) -> str:
        """Sends a notice. See `Carrying`."""
        wording = Wording.of(takedown.text)
        parameters = {"subject": wording.subject, "notice": wording.body}
        await self.send(takedown.message_id, takedown.destination, "takedown-notice", parameters)
        return ""

    async def send(self, message_id: str, address: str, template: str, parameters: dict[str, str]) -> None:
        """Sends an e-mail.

        Raises:
            NotNow, Never: see there.
        """
        request = api.DeliverMessageRequest(
            message_id=message_id,
            channel=notifications_pb2.CHANNEL_EMAIL,
            to=address,
            template=template,
            parameters=parameters,
        )
        try:
            await self._stub.DeliverMessage(request, timeout=_DEADLINE)
        except grpc.RpcError as error:
            refusal = Refusal.from_rpc_error(error)
            if refusal.reason in _HOPELESS:
                raise Never(refusal.message) from None
            raise NotNow(refusal.message) from None


class ByInterface:
    """By the platform's own interface: JSON, POSTed with an `Idempotency-Key`."""

    def __init__(self, settings: ProcessSettings, http: httpx.AsyncClient) -> None:
        self._settings = settings
        self._http = http

    @classmethod
    def with_client(cls, settings: ProcessSettings) -> ByInterface:
        """With a client that follows nobody elsewhere."""
        return cls(settings, httpx.AsyncClient(timeout=_TIMEOUTS, follow_redirects=False))

    async def close(self) -> None:
        """Lets go of connections."""
        await self._http.aclose()

    async def carry(self, takedown: Takedown) -> str:
        """Posts a notice. See `Carrying`."""
        wording = Wording.of(takedown.text)
        content = {
            "notice_id": takedown.takedown_id,
            "kind": takedown.kind.name,
            "url": takedown.url,
            "work": takedown.work,
            "subject": wording.subject,
            "notice": wording.body,
            "signature": takedown.signature,
        }
        headers = {"idempotency-key": takedown.message_id}
        with contextlib.suppress(FileNotFoundError):
            token = await asyncio.to_thread(self._settings.secret, f"leak_platform_{takedown.platform}")
            headers["authorization"] = f"Bearer {token.decode().strip()}"
        try:
            answer = await self._http.post(takedown.destination, json=content, headers=headers)
        except httpx.HTTPError as error:
            raise NotNow(f"{takedown.platform} did not answer ({type(error).__name__})") from None
        if answer.status_code in (408, 425, 429) or answer.status_code >= 500:
            raise NotNow(f"{takedown.platform} answered {answer.status_code}")
        if not answer.is_success:
            raise Never(
                f"{takedown.platform} answered {answer.status_code}; look at its entry in the list of platforms"
            )
        return _reference(answer)


def _reference(answer: httpx.Response) -> str:
    try:
        told = answer.json()
    except ValueError:
        return ""
    reference = str(told.get("reference", "")) if isinstance(told, dict) else ""
    return "".join(letter for letter in reference if letter.isprintable())[:_LONGEST_REFERENCE]


@dataclass(frozen=True)
class Ways:
    """All ways that need nobody's hand."""

    by_email: ByEmail
    by_interface: Carrying

    def of(self, takedown: Takedown) -> Carrying:
        """The way of a notice."""
        return self.by_email if takedown.carrier is Carrier.EMAIL else self.by_interface


class Messenger:
    """Carries what is to be carried, one at a time over all replicas: each row is locked while it is on its way."""

    def __init__(self, database: Database, clock: Clock, rules: RuleBook, ways: Ways) -> None:
        self._database = database
        self._clock = clock
        self._rules = rules
        self._ways = ways

    async def run(self, idle: float) -> None:
        """Goes round until cancelled, looking every `idle` seconds. Trouble is waited out."""
        while True:
            heed_cancellation()
            try:
                while await self.once():
                    heed_cancellation()
            except asyncio.CancelledError:
                raise
            except Exception as error:  # the database is away: what is to be carried stays there
                log.warning("messenger is waiting", error=telemetry.masked(f"{type(error).__name__}: {error}")[:300])
            await asyncio.sleep(idle)

    async def once(self) -> bool:
        """Takes the notice and the reminder that have waited longest. Returns whether there was one."""
        return await self._notice() | await self._reminder()

    async def _notice(self) -> bool:
        now = self._clock.now()
        async with self._database.transaction() as tx:
            takedown = await takedown_store.next_to_send(tx, now)
            if takedown is None:
                return False
            try:
                reference = await self._ways.of(takedown).carry(takedown)
            except NotNow as why:
                after = takedown.put_off(str(why), now + _pause(takedown.tries))
            except Never as why:
                after = takedown.given_up(str(why), now)
                log.warning("notice cannot be sent", takedown_id=takedown.takedown_id)
            else:
                rules = self._rules.at(now)
                after = takedown.recorded(State.SENT, OURSELVES, "", now, rules, reference=reference)
                await announce(tx, announcements.takedown_changed(after, OURSELVES, now))
            await takedown_store.put(tx, after)
        return True

    async def _reminder(self) -> bool:
        now = self._clock.now()
        async with self._database.transaction() as tx:
            reminder = await takedown_store.next_reminder(tx, now)
            if reminder is None:
                return False
            try:
                if reminder.expire_time > now:
                    await self._ways.by_email.send(
                        reminder.message_id, reminder.address, "takedown-reminder", reminder.parameters
                    )
            except NotNow:
                await takedown_store.put_reminder_off(tx, reminder, now + _pause(reminder.tries))
            except Never:
                log.warning("reminder given up", message_id=reminder.message_id)
                await takedown_store.remove_reminder(tx, reminder)
            else:
                await takedown_store.remove_reminder(tx, reminder)
        return True


def _pause(tries: int) -> timedelta:
    return min(FIRST_PAUSE * (1 << min(tries, 10)), LONGEST_PAUSE)
