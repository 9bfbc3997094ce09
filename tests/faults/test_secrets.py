"""A whole life on a whole mesh that talks as much as it can: no secret of it stands in a log, a trace or an event, in any form."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import re
import secrets
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, Final

import asyncpg
import httpx
import pytest

from services.drm.cpix import reading
from services.kit.ids import new_id
from tests.drm.cpix.requests import request
from tests.drm.key_server.packager_asks import keys_of, said
from tests.drm.key_server.scene import SPEKE, XML, Signer
from tests.faults import set_secrets
from tests.support.collector import Collector, running_collector
from tests.support.counted_films import film
from tests.support.leaks import files_below, forms, leaks
from tests.support.mailbox import newest_code
from tests.support.mesh import Mesh, running_mesh
from tests.support.opened_keys import dump, opened_keys

WRONG_CODE = "12348765"
NO_SECRETS = {"ca.crt", "tls.crt", "trust_domain", "nats.conf", "verifier.crt", "age_issuers.crt"}
"""Of an install's folder of secrets: what is shown to everybody, and what only repeats another file's secret."""
PUBLIC = {"algorithm", "issuers", "key_id", "name", "organisation_id", "permissions", "sha256"}
"""Members of JSON documents in that folder that hold no secret. Every other one is taken for one."""
WEBHOOK_PREFIX = b"whsec_"
PRIVATE_KEY = re.compile(rb"-----BEGIN [A-Z ]*PRIVATE KEY-----\s(.*?)\s?-----END", re.DOTALL)


class Life:
    """Somebody's life on a mesh. Every secret that is made, typed or shown on its way is kept in `secrets`."""

    def __init__(self, mesh: Mesh, http: httpx.AsyncClient) -> None:
        self.mesh = mesh
        self.http = http
        self.email = f"{secrets.token_hex(6)}@example.com"
        self.secrets: dict[str, bytes] = {}
        self.tables: dict[str, bytes] = {}

    def keep(self, name: str, secret: str | bytes) -> str:
        """Notes a secret under a name of its own, and returns it as it came."""
        value = secret if isinstance(secret, bytes) else secret.encode()
        assert len(value) >= 8, name
        self.secrets[f"{name} #{len(self.secrets)}"] = value
        return value.decode("latin-1")

    def password(self) -> str:
        return (
            self.keep("password", f"Ünlikely {secrets.token_urlsafe(12)} & words/?".encode()).encode("latin-1").decode()
        )

    async def post(self, path: str, **body: Any) -> dict[str, Any]:
        """A call; what its answer holds in tokens and keys is kept."""
        credential = body.pop("credential", "")
        headers = {"authorization": f"Bearer {credential}"} if credential else {}
        answer: dict[str, Any] = (await self.http.post(path, json=body, headers=headers)).json()
        tokens = answer.get("tokens", {})
        for name in ("access_token", "refresh_token"):
            if tokens.get(name):
                self.keep(name, tokens[name])
                self.keep(f"end of {name}", tokens[name][-40:])
        return answer

    async def code(self, template: str) -> str:
        """The code of the last letter of a kind to this person."""
        return self.keep("code", await newest_code(self.mesh, self.email, template))

    async def database(self) -> Any:
        """A connection as the owner of all."""
        return await asyncpg.connect(
            host=str(self.mesh.installation.layout.postgres_socket), user="postgres", database="reelmesh"
        )

    async def joins(self) -> str:
        """Registers, with slips; returns the password."""
        password = self.password()
        begun = await self.post("/v1/accounts:register", email=self.email, password=password)
        proof = {"request_id": new_id("req"), "registration_id": begun["registration_id"]}
        assert (await self.post("/v1/accounts:verifyEmail", code=WRONG_CODE, **proof))["code"]
        joined = await self.post(
            "/v1/accounts:verifyEmail", **proof | {"request_id": new_id("req"), "code": await self.code("verify-email")}
        )
        assert joined["tokens"]["access_token"]
        return password

    async def signs_in(self, password: str) -> dict[str, Any]:
        """Logs in, after every slip that one can make with a password."""
        for wrong in (self.password(), self.keep("broken", "x" + secrets.token_urlsafe(300))):
            assert (await self.post("/v1/sessions", email=self.email, password=wrong))["code"]
        await self.http.post("/v1/sessions", content=json.dumps({"password": password}) + "}")
        await self.http.post("/v1/sessions", json={"email": self.email, "passwort": password})
        await self.http.post("/v1/sessions", json={"email": self.email, "password": [password]})
        await self.http.get("/v1/sessions", params={"password": password})
        basic = base64.b64encode(f"{self.email}:{password}".encode()).decode()
        await self.http.get("/v1/account", headers={"authorization": f"Basic {basic}"})
        signed_in = await self.post("/v1/sessions", email=self.email, password=password)
        return dict(signed_in["tokens"])

    async def renews(self, tokens: dict[str, Any]) -> dict[str, Any]:
        """Refreshes, and shows tokens where they do not belong."""
        refresh, access = tokens["refresh_token"], tokens["access_token"]
        await self.http.get("/v1/account", params={"access_token": access, "refresh_token": refresh})
        await self.http.get(f"/v1/account/sessions/{refresh}", headers={"authorization": f"Bearer {refresh}"})
        await self.http.get("/v1/account", headers={"authorization": f"Bearer {access[:-8]}AAAAAAAA"})
        renewed = await self.post("/v1/sessions:refresh", request_id=new_id("req"), refresh_token=refresh)
        return dict(renewed["tokens"])

    async def steals(self, old: str) -> None:
        """A refresh token is used twice."""
        again = await self.post("/v1/sessions:refresh", request_id=new_id("req"), refresh_token=old)
        assert again["details"][0]["reason"] == "REFRESH_TOKEN_REUSED"

    async def forgets(self) -> str:
        """Resets the password by a code; returns the new one."""
        begun = await self.post("/v1/accounts:requestPasswordReset", email=self.email)
        password, proof = self.password(), {"request_id": new_id("req"), "reset_id": begun["reset_id"]}
        done = await self.post(
            "/v1/accounts:resetPassword", code=await self.code("reset-password"), new_password=password, **proof
        )
        assert done == {}
        return password

    async def changes(self, password: str, access: str) -> str:
        """Changes the password; returns the new one."""
        fresh = self.password()
        changed = await self.post(
            "/v1/account:changePassword", credential=access, old_password=password, new_password=fresh
        )
        assert "code" not in changed
        return fresh

    async def makes_an_api_key(self) -> None:
        """As soon as the service offers keys."""
        answer = await self.post(
            "/v1/organisation/apiKeys",
            credential=self.mesh.key,
            request_id=new_id("req"),
            display_name="A server",
            permissions=["assets.read"],
        )
        if "secret" in answer:
            key = self.keep("API key", answer["secret"])
            await self.http.get("/v1/assets", headers={"authorization": f"Bearer {key}"})
        else:
            assert answer["code"] == 12, answer

    async def plays(self) -> None:
        """A film goes in and is played with its licence; the playback is revoked."""
        async with self.mesh.client() as client:
            upload = await client.upload_file(film(seconds=2, height=144), title="The Counter")
            asset = await client.wait_for_asset(upload.asset_id)
            created = await client.create_playback(asset.asset_id)
        ticket = self.keep("ticket", created.playback.dash_url.split("/p/")[1].split("/")[0])
        self.keep("end of ticket", ticket[-40:])
        code = self.keep("playback code", created.code)
        redeemed = await self.post("/v1/playback:redeem", code=code)
        self.keep("second ticket", redeemed["playback"]["dash_url"].split("/p/")[1].split("/")[0])
        await self.post("/v1/playback:redeem", code=code)
        manifest = (await self.http.get(created.playback.dash_url)).text
        kids = set(re.findall(r'default_KID="([0-9a-fA-F-]{36})"', manifest))
        asked = [base64.urlsafe_b64encode(bytes.fromhex(kid.replace("-", ""))).decode().rstrip("=") for kid in kids]
        await self.http.get(created.playback.hls_url)
        await self.http.get(created.playback.dash_url + "x")
        await self.http.get("/v1/assets", params={"ticket": ticket})
        licence = await self.post(created.playback.licence_url, kids=asked, type="temporary")
        for key in licence["keys"]:
            self.keep("content key", base64.urlsafe_b64decode(key["k"] + "=="))
        base = created.playback.dash_url.rpartition("/")[0]
        for kid in kids:
            self.keep("HLS key", (await self.http.get(f"{base}/key/{kid.replace('-', '').lower()}")).content)
        async with self.mesh.client() as client:
            await client.revoke(created.session.session_id, "all is done")
        await self.http.get(created.playback.dash_url)

    async def packages_elsewhere(self) -> None:
        """A packager of another maker gets keys, in both protocols."""
        made = await self.post(
            "/v1/packagers", credential=self.mesh.key, request_id=new_id("req"), display_name="Elsewhere"
        )
        key, iv = (base64.b64decode(made[name]) for name in ("signing_key", "signing_iv"))
        signer = Signer(made["packager"]["packager_id"], key, iv)
        self.keep("signing key", signer.key)
        headers = {"authorization": f"Bearer {self.mesh.key}", "content-type": XML, "x-speke-version": "2.0"}
        answered = await self.http.post(SPEKE, content=request(), headers=headers)
        for content_key in reading.read(answered.content).keys:
            self.keep("SPEKE key", content_key.value or b"")
        await self.http.post(SPEKE, content=answered.content, headers=headers)
        told = await self.http.post("/cenc/getcontentkey", json=signer.message(said()))
        for found in keys_of(json.loads(base64.b64decode(told.json()["response"]))).values():
            self.keep("packager's key", found.key)

    async def is_paid_out(self) -> None:
        """A creator's bank account is said, with slips."""
        payee = {"creator_id": "ada", "tax_form": "TAX_FORM_STATUS_VERIFIED"}
        said = {"credential": self.mesh.key, "request_id": new_id("req")}
        kept = await self.http.put(
            "/v1/payees",
            json={"request_id": new_id("req"), "payee": payee},
            headers={"authorization": f"Bearer {self.mesh.key}"},
        )
        assert kept.json()["payee"]["version"] == "1"
        number = f"{secrets.randbelow(10**18):018}"
        right = f"DE{98 - int(number + '131400') % 97:02}{number}"
        wrong = f"{right[:-1]}{(int(right[-1]) + 1) % 10}"
        account = {"holder_name": self.keep("holder", f"Ada {secrets.token_hex(8)}")}
        for iban in (self.keep("IBAN", wrong), f"{wrong}!", self.keep("IBAN", right)):
            answer = await self.post("/v1/payees/ada:setDestination", **said, account=account | {"iban": iban})
        assert answer["payee"]["destination_hint"] == f"{right[:4]} …{right[-4:]}"
        await self.http.get("/v1/payees", params={"iban": right}, headers={"authorization": f"Bearer {self.mesh.key}"})

    async def changes_keys(self, folder: Path) -> None:
        """Everything that can be done to keys: an escrow, a rotation, an emergency, a recovery. What is opened on the way is kept."""
        made = await asyncio.to_thread(self.mesh.command, "keys", "escrow")
        files = []
        for number, share in enumerate(made["shares"]):
            self.keep("share", share)
            self.keep("middle of a share", " ".join(share.split()[8:16]))
            files.append(folder / f"share-{number}")
            files[-1].write_text(share, encoding="utf-8")
        told = [word for file in files[:3] for word in ("--share-file", str(file))]
        await self._keeps_keys()
        for words in (
            ("list",),
            ("rotate", "--reason", "once a quarter"),
            ("recover", "--rehearse", *told),
            ("emergency", "--reason", "a laptop was stolen"),
            ("recover", *told),
            ("audit",),
        ):
            await asyncio.to_thread(self.mesh.command, "keys", *words)
            await self._keeps_keys()

    async def _keeps_keys(self) -> None:
        connection = await self.database()
        try:
            found = await opened_keys(connection, (self.mesh.data / "secrets/root_key").read_bytes())
        finally:
            await connection.close()
        for name, secret in found.items():
            self.keep(name, secret)

    async def meets_a_database_that_refuses(self, password: str) -> None:
        """Statements fail, and the database says why, with all it knows."""
        connection = await self.database()
        tables = ("identity.sessions", "identity.codes", "identity.messages", "drm.content_keys", "policy.sessions")
        present = [name for name in tables if await connection.fetchval("SELECT to_regclass($1) IS NOT NULL", name)]
        assert len(present) >= 3
        try:
            for table in present:
                await connection.execute(f"ALTER TABLE {table} ADD CONSTRAINT never CHECK (false) NOT VALID")
            refused = await self.post("/v1/sessions", email=self.email, password=password)
            assert refused["details"][0]["reason"] == "INTERNAL"
            await self.post("/v1/accounts:requestPasswordReset", email=self.email)
            await self.post("/v1/accounts:register", email="x" + self.email, password=self.password())
        finally:
            for table in present:
                await connection.execute(f"ALTER TABLE {table} DROP CONSTRAINT never")
            await connection.close()

    def keep_what_is_installed(self) -> None:
        """Every secret file of the install, and whatever becomes one: only what is known to be public is left out."""
        folder = self.mesh.data / "secrets"
        for file in sorted(folder.rglob("*")):
            if file.is_dir() or file.name in NO_SECRETS:
                continue
            name, content = str(file.relative_to(folder)), file.read_bytes()
            for text in _texts(json.loads(content)) if file.suffix == ".json" else [content.rstrip(b"\n")]:
                private = PRIVATE_KEY.findall(text)
                for secret in [line for key in private for line in key.split()] or [text]:
                    self.keep(name, secret)
                if text.startswith(WEBHOOK_PREFIX):  # what signs is what it stands for
                    self.keep(name, base64.b64decode(text.removeprefix(WEBHOOK_PREFIX)))

    async def proves_an_age(self, access: str) -> None:
        """Tries every provider, none of which can be reached, and shows each what is not signed."""
        for name, method in set_secrets.PROVIDERS.items():
            said = {"request_id": new_id("req"), "provider": name, "method": method, "threshold": 18}
            await self.post("/v1/ageChecks", credential=access, **said)
            for path in ("webhook", "return?code=x&state=y", "response"):
                await self.http.post(f"/age/{name}/{path}", content=b"{}", headers={"x-hmac-signature": "00" * 32})

    async def takes_money(self) -> None:
        """An account with a processor is set, and with slips."""
        said = {name: self.keep(name, secrets.token_urlsafe(24)) for name in ("api_key", "webhook_secret")}
        headers = {"authorization": f"Bearer {self.mesh.key}"}
        for wrong in (said, said | {"colour": said["api_key"]}, {"api_key": [said["api_key"]]}):
            body = {"account": {"processor": "stripe"}, "secrets": wrong}
            await self.http.put("/v1/processorAccounts/shop", json=body, headers=headers)
        await self.http.post("/webhooks/stripe/shop", content=b"{}", headers={"stripe-signature": "t=1,v1=00"})


def _texts(value: Any) -> Iterator[bytes]:
    """Every text in a JSON document that does not stand where something public does."""
    match value:
        case dict():
            for name, inner in value.items():
                if name not in PUBLIC:
                    yield from _texts(inner)
        case list():
            for inner in value:
                yield from _texts(inner)
        case str():
            yield value.encode()


TRACED: Final = (
    b"LogIn",
    b"ClearKeyLicence",
    b"ProvideCpixKeys",
    b"RefreshSession",
    b"RevokePlaybackSession",
    b"RestoreKeys",
    b"StartEmergency",
)


async def traced(collector: Collector) -> None:
    """Waits for the traces of what was done, which come late."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(30):
            while not all(any(method in sent for sent in collector.received) for method in TRACED):
                await asyncio.sleep(0.1)


@pytest.fixture(scope="module")
def collector() -> Any:
    with running_collector() as (collector, endpoint):
        yield collector, endpoint


@pytest.fixture(scope="module")
async def lived(
    collector: tuple[Collector, str], tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[tuple[Life, dict[str, bytes]]]:
    """The life, and everything that was written during it, by where."""
    kept, endpoint = collector
    with running_mesh(
        set_secrets.files(),
        **set_secrets.ENVIRONMENT,
        REELMESH_LOG_LEVEL="DEBUG",
        REELMESH_OTLP_ENDPOINT=endpoint,
        OTEL_BSP_SCHEDULE_DELAY="200",
        GRPC_VERBOSITY="INFO",
    ) as mesh:
        async with httpx.AsyncClient(base_url=mesh.url, timeout=30, trust_env=False) as http:
            life = Life(mesh, http)
            life.keep_what_is_installed()
            life.keep("key of a node", set_secrets.NODE_KEY)
            password = await life.joins()
            tokens = await life.signs_in(password)
            renewed = await life.renews(tokens)
            await life.steals(tokens["refresh_token"])
            await life.http.get("/v1/account", headers={"authorization": f"Bearer {renewed['access_token']}"})
            password = await life.forgets()
            password = await life.changes(password, (await life.signs_in(password))["access_token"])
            await life.makes_an_api_key()
            await life.plays()
            await life.packages_elsewhere()
            await life.is_paid_out()
            await life.proves_an_age((await life.signs_in(password))["access_token"])
            await life.takes_money()
            await life.changes_keys(tmp_path_factory.mktemp("shares"))
            await life.meets_a_database_that_refuses(password)
            await traced(kept)
            await asyncio.sleep(2)  # what else is written late, such as the edge's log
            await http.get("/healthz")
            life.keep_what_is_installed()  # what became one since, too
            connection = await life.database()
            life.tables = await dump(connection)
            await connection.close()
        texts = dict(files_below(mesh.data / "logs"))
        texts |= dict(files_below(mesh.data / "nats"))
        texts["state"] = mesh.installation.layout.state_file.read_bytes()
        texts |= {f"traces {number}": sent for number, sent in enumerate(kept.received)}
        yield life, texts


@pytest.mark.timeout(500)
async def test_no_secret_of_a_whole_life_is_written_anywhere(lived: tuple[Life, dict[str, bytes]]) -> None:
    life, texts = lived
    assert len(life.secrets) >= 35
    found = leaks(life.secrets, texts)
    assert not found, "\n".join(found)


async def test_every_secret_of_an_install_and_of_its_operator_is_part_of_it(
    lived: tuple[Life, dict[str, bytes]],
) -> None:
    """A file that is new in the folder of secrets, and a setting that is new, cannot be forgotten."""
    life, texts = lived
    kept = {name.partition(" #")[0] for name in life.secrets}
    assert kept >= {*set_secrets.FILES, "verifier.key", "watermark_key", "quarantine_key", "hold_report_secret"}
    assert kept >= {"cat_keys.json", "preview_keys.json", "stand_in_key", "audit_log_key", "compliance_key"}
    forgotten = {name for name in set_secrets.settings_with_secrets() if not set_secrets.is_set(name)}
    assert forgotten == set(set_secrets.ELSEWHERE)
    logs = b"".join(text for where, text in texts.items() if where.startswith("logs/"))
    for sign in (b"AgeService/StartAgeCheck", b"ProcessorAccountsService/SetProcessorAccount", b"anchor"):
        assert sign in logs, sign


@pytest.mark.timeout(500)
async def test_no_address_of_the_person_is_written_to_what_an_erasure_does_not_reach(
    lived: tuple[Life, dict[str, bytes]],
) -> None:
    """Logs and traces are not gone through when a person is erased, and events name persons by ids: the address must not get there."""
    life, texts = lived
    assert any(life.email.encode() in table for table in life.tables.values())
    found = leaks({"e-mail address": life.email.encode()}, texts)
    assert not found, "\n".join(found)


@pytest.mark.timeout(500)
async def test_no_key_stands_in_the_database(lived: tuple[Life, dict[str, bytes]]) -> None:
    """Content keys, key-encryption keys, the root key and the shares of the escrow; what opens nothing without them does."""
    life, _ = lived
    kinds = ("content key", "HLS key", "KEK", "share", "middle of a share", "root_key")
    keys = {name: secret for name, secret in life.secrets.items() if name.startswith(kinds)}
    assert {kind for kind in kinds if any(name.startswith(kind) for name in keys)} == set(kinds)
    found = leaks(keys, life.tables)
    assert not found, "\n".join(found)
    assert any(life.tables["database drm.content_keys"].splitlines())
    assert b"a laptop was stolen" in b"".join(life.tables.values())


@pytest.mark.timeout(500)
async def test_all_of_it_was_looked_at(lived: tuple[Life, dict[str, bytes]]) -> None:
    """What is no secret is found everywhere, so a secret would have been."""
    _, texts = lived
    everything = b"".join(texts.values())
    logs = {where for where in texts if where.startswith("logs/")}
    services = ("identity", "upload", "assets", "transcode", "packaging", "drm", "policy", "speke")
    for process in (*services, "envoy-access", "postgres", "nats"):
        assert any(process in where for where in logs), f"no log of {process}"
    assert b"violates check constraint" in b"".join(text for where, text in texts.items() if "postgres" in where)
    assert b"reelmesh.policy.v1.SessionRevoked" in b"".join(text for where, text in texts.items() if "nats/" in where)
    traces = b"".join(text for where, text in texts.items() if where.startswith("traces"))
    for method in TRACED:
        assert method in traces, f"no trace of {method!r}"
    assert b'"level": "debug"' in everything


@pytest.mark.parametrize("form", sorted(forms(b"k\xfcrbis & \x00 melon/ 42?")))
def test_a_secret_is_found_in_every_form(form: bytes) -> None:
    secret = {"password": b"k\xfcrbis & \x00 melon/ 42?"}
    assert leaks(secret, {"a log": b'{"message": "here: ' + form + b'"}'})
    assert leaks(secret, {"a log": b'{"message": "nothing to see"}'}) == []


def test_a_code_is_found_unless_it_is_a_part_of_something_longer() -> None:
    code = {"code": b"31415926"}
    assert leaks(code, {"a log": b'"code": "31415926"'})
    assert leaks(code, {"a log": b"code=31415926&x=1"})
    assert leaks(code, {"a log": b'"seconds": 0.3141592653, "id": "a31415926"'}) == []
