"""Proofs of possession through the real edge, by each way in, to the real identity service."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import asyncpg
import grpc
import httpx
import pytest
from reelmesh.identity.v1 import (
    accounts_service_pb2,
    accounts_service_pb2_grpc,
    devices_service_pb2,
    devices_service_pb2_grpc,
    identity_pb2,
)

from services.kit.errors import Refusal
from services.kit.ids import new_id
from services.kit.settings import ProcessSettings
from tests.envoy.edge import FRIENDLY_ORIGIN, Edge, running_edge
from tests.envoy.test_calls import framed, unframed
from tests.identity.scene import Person, Scene, a_scene
from tests.support.dpop import KeyHolder
from tests.support.ports import free_port
from tests.support.tus import BODY_TYPE, tus_client, upload_service

GET_ACCOUNT = "/reelmesh.identity.v1.AccountsService/GetAccount"
REGISTER = "/reelmesh.identity.v1.DevicesService/RegisterDevice"


@dataclass
class Device:
    """A device whose session is bound to its key, and the edge that it calls."""

    edge: Edge
    scene: Scene
    person: Person
    tokens: identity_pb2.Tokens
    holder: KeyHolder = field(default_factory=KeyHolder)

    def headers(self, method: str, path: str, *, scheme: str = "DPoP") -> dict[str, str]:
        """Of one request, with a new proof."""
        token = self.tokens.access_token
        url = f"http://{self.edge.address}{path}"
        proof = self.holder.proof(self.scene.clock.now(), method, url, token)
        return {"authorization": f"{scheme} {token}", "dpop": proof}

    async def register(self) -> None:
        """Binds the session to the key."""
        request = devices_service_pb2.RegisterDeviceRequest(
            request_id=new_id("req"), display_name="TV", platform="android-tv"
        )
        async with self.edge.channel() as channel:
            stub = devices_service_pb2_grpc.DevicesServiceStub(channel)
            shown = tuple(self.headers("POST", REGISTER, scheme="Bearer").items())
            answer = await stub.RegisterDevice(request, metadata=shown)
        self.tokens.access_token = answer.tokens.access_token


@pytest.fixture
async def device(mesh: ProcessSettings) -> AsyncIterator[Device]:
    address = f"127.0.0.1:{free_port()}"
    async with (
        a_scene(mesh, public_url=f"http://{address}") as scene,
        running_edge(mesh.secrets_dir, listen=address, identity=scene.settings.peer("identity")) as edge,
    ):
        person = await scene.register()
        device = Device(edge, scene, person, await scene.log_in(person.email))
        await device.register()
        yield device


def problem(answer: httpx.Response) -> str:
    (info,) = [one for one in answer.json()["details"] if one["@type"].endswith("ErrorInfo")]
    return str(info["metadata"].get("problem", info["reason"]))


async def test_by_grpc_the_proof_names_the_method(device: Device) -> None:
    async with device.edge.channel() as channel:
        stub = accounts_service_pb2_grpc.AccountsServiceStub(channel)
        request = accounts_service_pb2.GetAccountRequest()
        shown = tuple(device.headers("POST", GET_ACCOUNT).items())
        assert (await stub.GetAccount(request, metadata=shown)).account == device.person.account
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await stub.GetAccount(request, metadata=shown)
        assert Refusal.from_rpc_error(refused.value).metadata["problem"] == "replayed"
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await stub.GetAccount(request, metadata=shown[:1])
        assert Refusal.from_rpc_error(refused.value).metadata["problem"] == "missing"


async def test_by_grpc_web_too(device: Device) -> None:
    headers = {"content-type": "application/grpc-web+proto", **device.headers("POST", GET_ACCOUNT)}
    answer = await device.edge.http.post(GET_ACCOUNT, content=framed(b""), headers=headers)
    (_, message), (_, trailers) = unframed(answer.content)
    assert b"grpc-status:0" in trailers
    said = accounts_service_pb2.GetAccountResponse.FromString(message)
    assert said.account.account_id == device.person.account.account_id
    again = await device.edge.http.post(GET_ACCOUNT, content=framed(b""), headers=headers)
    assert b"grpc-status:16" in again.content or again.headers.get("grpc-status") == "16"


async def test_by_rest_the_proof_names_what_was_sent_to_the_edge(device: Device) -> None:
    http = device.edge.http
    answer = await http.get("/v1/account", headers=device.headers("GET", "/v1/account"))
    assert (answer.status_code, answer.json()["account"]["email"]) == (200, device.person.email)
    path = "/v1/account/sessions"
    answer = await http.get(path + "?page_size=1", headers=device.headers("GET", path))
    assert (answer.status_code, len(answer.json()["sessions"])) == (200, 1)
    path = f"/v1/account/sessions/{device.person.tokens.session_id}"
    assert (await http.delete(path, headers=device.headers("DELETE", path))).status_code == 200


async def test_by_rest_a_proof_for_something_else_is_refused(device: Device) -> None:
    http = device.edge.http
    for method, path in (("POST", "/v1/account"), ("GET", "/v1/account/sessions"), ("POST", GET_ACCOUNT)):
        answer = await http.get("/v1/account", headers=device.headers(method, path))
        assert (answer.status_code, problem(answer)) == (401, "other_request")
    headers = device.headers("GET", "/v1/account")
    assert problem(await http.get("/v1/account", headers={"authorization": headers["authorization"]})) == "missing"
    bearer = device.headers("GET", "/v1/account", scheme="Bearer")
    assert problem(await http.get("/v1/account", headers=bearer)) == "missing"
    assert (await http.get("/v1/account", headers=headers)).status_code == 200
    assert problem(await http.get("/v1/account", headers=headers)) == "replayed"


async def test_nobody_outside_says_what_the_request_was(device: Device) -> None:
    """Else a proof that was caught on its way could be used for another method."""
    headers = device.headers("GET", "/v1/account/sessions")
    forged = {**headers, "x-reelmesh-rest": "GET /v1/account/sessions", "x-request-id": "known"}
    assert problem(await device.edge.http.get("/v1/account", headers=forged)) == "other_request"
    async with device.edge.channel() as channel:
        stub = accounts_service_pb2_grpc.AccountsServiceStub(channel)
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await stub.GetAccount(accounts_service_pb2.GetAccountRequest(), metadata=tuple(forged.items()))
        assert Refusal.from_rpc_error(refused.value).metadata["problem"] == "other_request"
    caught = {**device.headers("GET", "/v1/account"), "x-request-id": "0123456789abcdef0123456789abcdef"}
    assert (await device.edge.http.get("/v1/account", headers=caught)).status_code == 200
    assert problem(await device.edge.http.get("/v1/account", headers=caught)) == "replayed"


async def test_the_session_is_refreshed_by_rest_with_a_proof(device: Device) -> None:
    body = {"request_id": new_id("req"), "refresh_token": device.tokens.refresh_token}
    path = "/v1/sessions:refresh"
    without = await device.edge.http.post(path, json=body)
    assert (without.status_code, problem(without)) == (401, "missing")
    url = f"http://{device.edge.address}{path}"
    proof = device.holder.proof(device.scene.clock.now(), "POST", url)
    answer = await device.edge.http.post(path, json=body, headers={"dpop": proof})
    assert answer.status_code == 200
    device.tokens.access_token = answer.json()["tokens"]["access_token"]
    shown = device.headers("GET", "/v1/account")
    assert (await device.edge.http.get("/v1/account", headers=shown)).status_code == 200


async def test_pages_of_a_friendly_origin_may_send_proofs(device: Device) -> None:
    asked = {
        "origin": FRIENDLY_ORIGIN,
        "access-control-request-method": "POST",
        "access-control-request-headers": "authorization,dpop",
    }
    preflight = await device.edge.http.options(GET_ACCOUNT, headers=asked)
    assert "dpop" in preflight.headers["access-control-allow-headers"].split(", ")


async def test_proofs_are_not_in_the_log(device: Device, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("DEBUG"):
        headers = device.headers("GET", "/v1/account")
        answer = await device.edge.http.get("/v1/account", headers=headers)
        line = await device.edge.log(answer.headers["x-correlation-id"])
    assert headers["dpop"] not in str(line) + caplog.text


async def made_creator(scene: Scene, account_id: str) -> None:
    """Somebody gave the person a role that may upload."""
    connection = await asyncpg.connect(
        host=scene.settings.database_host, user=scene.settings.database_admin, database=scene.settings.database_name
    )
    try:
        query = "UPDATE identity.memberships SET role_ids = ARRAY['creator'] WHERE account_id = $1"
        await connection.execute(query, account_id)
    finally:
        await connection.close()


async def test_by_tus_too_where_one_request_leads_to_many_calls(mesh: ProcessSettings) -> None:
    address = f"127.0.0.1:{free_port()}"
    settings = mesh.model_copy(update={"public_url": f"http://{address}"})
    async with (
        a_scene(mesh, public_url=settings.public_url) as scene,
        upload_service(settings, scene.clock),
        tus_client(settings) as tus,
        running_edge(
            mesh.secrets_dir,
            listen=address,
            identity=scene.settings.peer("identity"),
            tus=f"unix:{tus.socket}",
        ) as edge,
    ):
        person = await scene.register()
        await made_creator(scene, person.account.account_id)
        device = Device(edge, scene, person, await scene.log_in(person.email))
        await device.register()
        about = {"tus-resumable": "1.0.0", "upload-length": "5"}
        made = await edge.http.post("/files/", headers={**about, **device.headers("POST", "/files/")})
        assert made.status_code == 201, made.text
        path = made.headers["location"]
        chunk = {"tus-resumable": "1.0.0", "upload-offset": "0", "content-type": BODY_TYPE}
        stranger = {**device.headers("PATCH", path), "dpop": device.headers("PATCH", "/files/")["dpop"]}
        refused = await edge.http.patch(path, headers={**chunk, **stranger}, content=b"12345")
        assert (refused.status_code, problem(refused)) == (401, "other_request")
        done = await edge.http.patch(path, headers={**chunk, **device.headers("PATCH", path)}, content=b"12345")
        assert (done.status_code, done.headers["upload-offset"]) == (204, "5")
