"""All services, a person who has done a lot, and staff."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import secrets
import zipfile
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import grpc
import jwt
from reelmesh.compliance.v1 import rights_pb2, rights_service_pb2_grpc
from reelmesh.compliance.v1 import rights_service_pb2 as api
from reelmesh.identity.v1 import accounts_service_pb2 as accounts
from reelmesh.identity.v1 import (
    accounts_service_pb2_grpc,
    profiles_service_pb2,
    profiles_service_pb2_grpc,
)
from reelmesh.packaging.v1 import events_pb2 as packaging
from reelmesh.packaging.v1 import packaging_pb2
from reelmesh.payments.v1 import events_pb2 as payments_events
from reelmesh.payments.v1 import (
    invoices_service_pb2,
    invoices_service_pb2_grpc,
    payments_pb2,
    sales_service_pb2,
    sales_service_pb2_grpc,
    split_rules_service_pb2,
    split_rules_service_pb2_grpc,
)
from reelmesh.policy.v1 import policy_service_pb2 as policy
from reelmesh.policy.v1 import policy_service_pb2_grpc
from reelmesh.rpc.v1 import personal_data_service_pb2 as personal

from services.kit.clock import SystemClock, timestamp
from services.kit.errors import Refusal
from services.kit.ids import new_id
from services.kit.settings import ProcessSettings
from tests.support.bus import Bus, on_the_bus
from tests.support.keys import organisation_of_operator
from tests.support.mail import sent_to
from tests.support.whole import PASSWORD, Whole, all_running

if TYPE_CHECKING:
    Rights = rights_service_pb2_grpc.RightsServiceAsyncStub

NAME = "Zebulon Quastenflosser"
NETWORK = "203.0.113"
ADDRESS = f"{NETWORK}.77"
STREET = "Krimskramsgasse 17"
QUICK: dict[str, Any] = {
    "compliance_rights_settle": timedelta(milliseconds=300),
    "compliance_rights_seconds": 0.1,
    "compliance_audit_origin": "log.example/audit",
    "compliance_rights_contact": "dpo@example.com",
}
Metadata = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Person:
    """Somebody who registered.

    Attributes:
        email: address.
        account_id: account.
        shown: what shows that it is they.
    """

    email: str
    account_id: str
    shown: Metadata


@dataclass(frozen=True)
class Scene:
    """The running services."""

    settings: ProcessSettings
    whole: Whole
    bus: Bus
    rights: Rights

    @property
    def home(self) -> str:
        return organisation_of_operator(self.settings)

    @property
    def operator(self) -> Metadata:
        return (("authorization", self.whole.operator),)

    def stub(self, made: Any, contract: str) -> Any:
        return made(self.whole.channels[f"reelmesh.{contract}"])

    async def person(self, name: str = NAME) -> Person:
        """Somebody registers and reads the mail."""
        email = f"{secrets.token_hex(6)}@quasten.example"
        stub = self.stub(accounts_service_pb2_grpc.AccountsServiceStub, "identity.v1.AccountsService")
        outside = (("x-forwarded-for", ADDRESS), ("x-user-agent", f"{name}'s browser"))
        begun = await stub.Register(
            accounts.RegisterRequest(email=email, password=PASSWORD, display_name=name), metadata=outside
        )
        code = (await sent_to(self.settings, email))[-1].parameters["code"]
        verify = accounts.VerifyEmailRequest(request_id=new_id("req"), registration_id=begun.registration_id, code=code)
        tokens = (await stub.VerifyEmail(verify, metadata=outside)).tokens
        account_id = jwt.decode(tokens.access_token, options={"verify_signature": False})["sub"]
        return Person(email, account_id, (("authorization", f"Bearer {tokens.access_token}"), *outside))

    async def live(self, person: Person) -> str:
        """The person does what people do: makes a profile, pays, watches, is written an invoice. Returns the asset."""
        profiles = self.stub(profiles_service_pb2_grpc.ProfilesServiceStub, "identity.v1.ProfilesService")
        await profiles.CreateProfile(
            profiles_service_pb2.CreateProfileRequest(request_id=new_id("req"), display_name=f"{NAME} junior"),
            metadata=person.shown,
        )
        asset_id = await self._published()
        await self._sold(person, asset_id)
        playing = self.stub(policy_service_pb2_grpc.PolicyServiceStub, "policy.v1.PolicyService")
        create = policy.CreatePlaybackRequest(request_id=new_id("req"), asset_id=asset_id)
        async with asyncio.timeout(60):
            while True:
                with contextlib.suppress(grpc.aio.AioRpcError):
                    await playing.CreatePlayback(create, metadata=person.shown)
                    return asset_id
                await asyncio.sleep(0.05)

    async def _published(self) -> str:
        asset_id = new_id("ast")
        await self.bus.publish(
            packaging.PackagePublished(
                package_id=new_id("pkg"),
                asset_id=asset_id,
                organisation_id=self.home,
                track_keys=[packaging_pb2.TrackKey(label="HD", key_id="d" * 32)],
                dash_path="manifest.mpd",
                hls_path="master.m3u8",
                publish_time=timestamp(SystemClock().now()),
            )
        )
        return asset_id

    async def _sold(self, person: Person, asset_id: str) -> None:
        rules = self.stub(split_rules_service_pb2_grpc.SplitRulesServiceStub, "payments.v1.SplitRulesService")
        made = await rules.CreateSplitRules(
            split_rules_service_pb2.CreateSplitRulesRequest(
                request_id=new_id("req"), rules=payments_pb2.SplitRules(platform_basis_points=2000)
            ),
            metadata=self.operator,
        )
        await rules.ActivateSplitRules(
            split_rules_service_pb2.ActivateSplitRulesRequest(version=made.rules.version), metadata=self.operator
        )
        invoices = self.stub(invoices_service_pb2_grpc.InvoicesServiceStub, "payments.v1.InvoicesService")
        buyer = invoices_service_pb2.Party(name=NAME, address_lines=[STREET])
        await invoices.SetOwnBillingDetails(
            invoices_service_pb2.SetOwnBillingDetailsRequest(buyer=buyer),
            metadata=person.shown,
        )
        sales = self.stub(sales_service_pb2_grpc.SalesServiceStub, "payments.v1.SalesService")
        await sales.RecordSale(
            sales_service_pb2.RecordSaleRequest(
                request_id=new_id("req"),
                processor="ccbill",
                reference=secrets.token_hex(8),
                gross=payments_pb2.Money(minor_units=499, currency="EUR"),
                viewer_id=person.account_id,
                creators=[sales_service_pb2.CreatorShare(creator_id="ada", weight=1)],
                grant=payments_pb2.Grant(kind=payments_events.ENTITLEMENT_KIND_PURCHASE, asset_id=asset_id),
            ),
            metadata=self.operator,
        )

    async def ask(
        self, person: Person, kind: rights_pb2.DataRequestKind.ValueType, **fields: Any
    ) -> rights_pb2.DataRequest:
        """A person asks about their own data."""
        request = api.CreateOwnDataRequestRequest(request_id=new_id("req"), kind=kind, **fields)
        return (await self.rights.CreateOwnDataRequest(request, metadata=person.shown)).data_request

    async def taken_in(
        self, name: str, kind: rights_pb2.DataRequestKind.ValueType, *, checked: bool = True, **fields: Any
    ) -> rights_pb2.DataRequest:
        """Staff takes a request in."""
        request = api.CreateDataRequestRequest(
            request_id=new_id("req"),
            subject=personal.DataSubject(name=name),
            kind=kind,
            identity_checked=checked,
            **fields,
        )
        return (await self.rights.CreateDataRequest(request, metadata=self.operator)).data_request

    async def seen(self, data_request_id: str) -> rights_pb2.DataRequest:
        """How a request stands, as staff sees it."""
        request = api.GetDataRequestRequest(data_request_id=data_request_id)
        return (await self.rights.GetDataRequest(request, metadata=self.operator)).data_request

    async def reaches(
        self, data_request_id: str, state: rights_pb2.DataRequestState.ValueType
    ) -> rights_pb2.DataRequest:
        """Waits until a request is in a state."""
        async with asyncio.timeout(60):
            while (found := await self.seen(data_request_id)).state != state:
                await asyncio.sleep(0.05)
        return found

    async def copy(self, person: Person, data_request_id: str) -> dict[str, Any]:
        """What a person is sent, by file of the archive."""
        request = api.GetOwnDataRequest(data_request_id=data_request_id)
        parts = [part.body async for part in self.rights.GetOwnData(request, metadata=person.shown)]
        assert {part.content_type for part in parts} == {"application/zip"}
        return unpacked(b"".join(part.data for part in parts))


def unpacked(archive: bytes) -> dict[str, Any]:
    """The JSON files of an archive by their paths."""
    with zipfile.ZipFile(io.BytesIO(archive)) as opened:
        assert opened.testzip() is None
        return {name: json.loads(opened.read(name)) for name in opened.namelist()}


async def refused(call: Any) -> Refusal:
    """The refusal that a call ends with."""
    try:
        await call
    except grpc.aio.AioRpcError as error:
        return Refusal.from_rpc_error(error)
    raise AssertionError("it was not refused")


@contextlib.asynccontextmanager
async def everybody(settings: ProcessSettings) -> AsyncIterator[Scene]:
    """Runs all services."""
    async with all_running(settings, **QUICK) as whole, on_the_bus(settings) as bus:
        rights = rights_service_pb2_grpc.RightsServiceStub(whole.channels["reelmesh.compliance.v1.RightsService"])
        yield Scene(settings, whole, bus, rights)
