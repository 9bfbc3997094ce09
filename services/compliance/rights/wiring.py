"""Puts requests of persons together."""

from __future__ import annotations

from nats.aio.client import Client as NatsClient
from reelmesh.identity.v1 import letters_service_pb2
from reelmesh.notifications.v1 import notifications_service_pb2

from services.compliance.log import store as log_store
from services.compliance.personal import DECLARATION
from services.compliance.rights.keepers import all_keepers
from services.compliance.rights.letters import Letters
from services.compliance.rights.own import Own
from services.compliance.rights.receiving import Receiving
from services.compliance.rights.reminding import Reminders
from services.compliance.rights.rpc import Parts, RightsRpc
from services.compliance.rights.running import Runner
from services.compliance.rights.settings import RightsSettings
from services.compliance.rights.store import Requests, Subjects
from services.compliance.rights.stream import EventStream
from services.kit.consumers import declared
from services.kit.database import Database
from services.kit.personal_data import PersonalData
from services.kit.process import Process
from services.kit.sealing import Seal


async def start_rights(
    process: Process, settings: RightsSettings, database: Database, bus: NatsClient, install: Seal
) -> RightsRpc:
    """Starts what does requests, and returns what takes them in."""
    clock, subjects = process.clock, Subjects(install)
    requests = Requests(subjects)
    box = Letters(
        database,
        clock,
        install,
        identity=process.peer("identity", letters_service_pb2.DESCRIPTOR.services_by_name["LettersService"]),
        notifications=process.peer(
            "notifications", notifications_service_pb2.DESCRIPTOR.services_by_name["NotificationsService"]
        ),
    )

    async def logged(stream: str) -> int:
        async with database.transaction() as tx:
            head = await log_store.find_head(tx)
        return head.sequence if head is not None and head.stream == stream else 0

    keepers = all_keepers(process, PersonalData(database, clock, DECLARATION))
    own = Own(database, install)
    runner = Runner(
        database,
        clock,
        requests=requests,
        keepers=keepers,
        own=own,
        stream=EventStream(bus, logged, clock, declared() | {*settings.compliance_rights_consumers}),
        box=box,
        settles=settings.compliance_rights_settle,
        lease=settings.compliance_rights_lease,
    )
    receiving = Receiving(
        database, clock, requests=requests, subjects=subjects, install=install, box=box, news=runner.news.set
    )
    reminders = Reminders(database, clock, requests, box, settings.compliance_rights_contact)
    process.all_in_background(
        {
            "rights": runner.run(settings.compliance_rights_seconds),
            "rights reminders": reminders.run(settings.compliance_rights_reminder_seconds),
        }
    )
    return RightsRpc(database, clock, Parts(requests, subjects, receiving, keepers, own, runner.news.set))
