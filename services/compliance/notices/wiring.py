"""Puts notices together."""

from __future__ import annotations

from typing import Final

from nats.aio.client import Client as NatsClient
from reelmesh.compliance.v1 import notices_service_pb2
from reelmesh.identity.v1 import letters_service_pb2
from reelmesh.notifications.v1 import notifications_service_pb2

from services.compliance.notices import rules, titles
from services.compliance.notices.handling import Handling
from services.compliance.notices.letters import Letters
from services.compliance.notices.links import Links
from services.compliance.notices.postman import NoticePostman
from services.compliance.notices.rpc import NoticesRpc
from services.compliance.notices.settings import NoticesSettings
from services.compliance.notices.watching import Watch
from services.compliance.rights.store import Subjects
from services.kit.database import Database
from services.kit.process import Process
from services.kit.sealing import Seal

CONTRACT: Final = notices_service_pb2.DESCRIPTOR.services_by_name["NoticesService"]
_NOTIFICATIONS: Final = notifications_service_pb2.DESCRIPTOR.services_by_name["NotificationsService"]
_LETTERS: Final = letters_service_pb2.DESCRIPTOR.services_by_name["LettersService"]


async def start_notices(
    process: Process, settings: NoticesSettings, database: Database, bus: NatsClient, install: Seal
) -> NoticesRpc:
    """Starts what keeps the terms and sends the letters, and returns what takes notices.

    Raises:
        ValueError: the rules are not as they have to be.
    """
    rules.every()
    links, letters = Links(install, settings.public_url), Letters(install)
    handling = Handling(install, links, letters)
    watch = Watch(database, process.clock, handling, Subjects(install))
    postman = NoticePostman(
        database,
        process.clock,
        letters,
        # The postman has pauses of its own, which providers ask for.
        notifications=process.peer("notifications", _NOTIFICATIONS, repeats=False),
        identity=process.peer("identity", _LETTERS, repeats=False),
        idle=settings.compliance_notices_post_seconds,
    )
    process.all_in_background(
        {
            "notice titles": titles.consumer(database, bus).run(),
            "notice terms": watch.run(settings.compliance_notices_watch_seconds),
            "notice letters": postman.run(),
        }
    )
    return NoticesRpc(database, process.clock, install, links, handling)
