"""SPEKE over HTTP: the same request gets the same keys, each organisation its own, and refusals have the status and words that encryptors know."""

from __future__ import annotations

import asyncio
import base64
import json
from dataclasses import replace
from pathlib import Path

import pytest
from reelmesh.drm.v1 import drm_pb2, events_pb2
from reelmesh.drm.v1 import key_server_service_pb2 as api
from reelmesh.drm.v1 import keys_service_pb2 as keys_api

from services.drm.cpix import delivery, markup, reading, signatures, writing
from services.drm.cpix.signalling import FAIRPLAY, WIDEVINE
from services.kit.ids import new_id
from services.kit.settings import ProcessSettings
from tests.drm.cpix.certificates import holder
from tests.drm.cpix.requests import asked, key_id, request
from tests.drm.cpix.test_speke import vector
from tests.drm.key_server.packager_asks import said
from tests.drm.key_server.scene import SPEKE, KeyServer, Signer, a_gateway, a_key_server, stub_of
from tests.policy.scene import refused
from tests.support.keys import organisation_of_operator, with_api_key
from tests.support.running import connected
from tests.support.stores import operator_key


def keys_in(document: bytes) -> dict[bytes, bytes]:
    return {key.key_id: key.value or b"" for key in reading.read(document).keys}


class TestKeys:
    async def test_an_encryptor_gets_its_document_back_with_keys(self, server: KeyServer) -> None:
        answer = await server.speke(vector("1"))
        assert answer.status_code == 200
        assert answer.headers["content-type"] == "application/xml"
        assert answer.headers["x-speke-version"] == "2.0"
        assert answer.headers["x-speke-user-agent"]
        assert answer.headers["cache-control"] == "no-store"
        keys = keys_in(answer.content)
        assert len(keys) == len(set(keys.values())) == 2
        assert {len(key) for key in keys.values()} == {16}

    async def test_the_same_request_gets_the_same_answer_also_after_a_restart(self, mesh: ProcessSettings) -> None:
        document = request(asked(["VIDEO", "AUDIO"], [WIDEVINE, FAIRPLAY], "cbcs"))
        async with a_key_server(mesh) as server:
            first, second = (await server.speke(document)).content, (await server.speke(document)).content
        async with a_key_server(mesh) as server:
            third = (await server.speke(document)).content
        assert first == second == third

    async def test_many_at_once_get_the_same_keys(self, server: KeyServer) -> None:
        answers = await asyncio.gather(*(server.speke(request()) for _ in range(12)))
        assert {answer.status_code for answer in answers} == {200}
        assert len({answer.content for answer in answers}) == 1
        assert len(await server.sql("SELECT * FROM keyed_contents")) == 1

    async def test_another_content_or_key_id_is_another_key(self, server: KeyServer) -> None:
        one = keys_in((await server.speke(request(asked(content_id="film-1")))).content)
        other = keys_in((await server.speke(request(asked(content_id="film-2")))).content)
        assert one.keys() == other.keys(), "encryptors choose key ids as they like"
        assert not set(one.values()) & set(other.values())

    async def test_each_organisation_has_its_own_keys(self, server: KeyServer, other_organisation_key: str) -> None:
        ours = keys_in((await server.speke(request())).content)
        theirs = keys_in((await server.speke(request(), key=other_organisation_key)).content)
        assert ours.keys() == theirs.keys()
        assert not set(ours.values()) & set(theirs.values())
        assert keys_in((await server.speke(request())).content) == ours

    async def test_keys_that_come_with_the_next_period_leave_those_before_as_they_are(self, server: KeyServer) -> None:
        first = keys_in((await server.speke(request(asked(["VIDEO", "AUDIO"])))).content)
        more = keys_in((await server.speke(request(asked(["SD", "HD", "AUDIO"])))).content)
        assert first.items() <= more.items()

    async def test_an_initialization_vector_stays_what_it_was_first(self, server: KeyServer) -> None:
        """A FairPlay licence brings one, so there can be but one."""
        document = asked(["VIDEO"], [FAIRPLAY], "cbcs")
        ours = replace(document, keys=(replace(document.keys[0], explicit_iv=bytes(range(16))),))
        assert reading.read((await server.speke(request(ours))).content).keys[0].explicit_iv == bytes(range(16))
        assert reading.read((await server.speke(request(document))).content).keys[0].explicit_iv == bytes(range(16))

    async def test_what_lies_in_the_database_is_sealed(self, server: KeyServer) -> None:
        keys = keys_in((await server.speke(request())).content)
        rows = await server.sql("SELECT * FROM content_keys")
        assert {row["label"] for row in rows} == {f"HD/{key_id(0).hex()}", f"AUDIO/{key_id(1).hex()}"}
        assert not any(key in row["sealed"] for key in keys.values() for row in rows)


class TestDelivery:
    async def test_keys_go_to_recipients_alone(self, server: KeyServer) -> None:
        answer = await server.speke(request(asked(recipients=(holder(1).der, holder(2).der))))
        root = markup.read(answer.content)
        opened = [delivery.decrypted(root, one.certificate, one.key) for one in (holder(1), holder(2))]
        assert opened[0] == opened[1] == keys_in((await server.speke(request())).content)
        told = await server.bus.hears(events_pb2.ContentKeysProvided)
        assert len(told.recipient_sha256s) == 2

    async def test_a_weak_certificate_is_refused_and_nothing_is_announced(self, server: KeyServer) -> None:
        answer = await server.speke(request(asked(recipients=(holder(1, "small").der,))))
        assert answer.status_code == 422
        assert answer.text == "The certificate's key has 1024 bits; 2048 are the least"
        await server.speke(request())
        await server.bus.hears(events_pb2.ContentKeysProvided)
        assert len(server.bus.heard(events_pb2.ContentKeysProvided)) == 1


class TestSignatures:
    def signed(self, number: int) -> bytes:
        root = writing.tree_of(asked())
        signatures.sign(root, holder(number).certificate, holder(number).key)
        return markup.written(root)

    async def test_a_signature_of_a_packager_of_the_organisation_is_good(self, server: KeyServer) -> None:
        await server.packager(certificate=holder(1).der)
        assert (await server.speke(self.signed(1))).status_code == 200
        answer = await server.speke(self.signed(2))
        assert (answer.status_code, answer.text) == (403, "A signature is of nobody who may sign here")

    async def test_a_packager_of_another_organisation_signs_nothing_here(
        self, server: KeyServer, other_organisation_key: str
    ) -> None:
        await server.packager(certificate=holder(1).der)
        assert (await server.speke(self.signed(1), key=other_organisation_key)).status_code == 403

    async def test_what_was_signed_and_then_changed_is_refused(self, server: KeyServer) -> None:
        await server.packager(certificate=holder(1).der)
        answer = await server.speke(self.signed(1).replace(b"film-1", b"film-2"))
        assert (answer.status_code, answer.text) == (403, "A signature is not good")

    async def test_signed_requests_get_signed_answers_where_there_is_a_certificate(
        self, mesh: ProcessSettings, tmp_path: Path
    ) -> None:
        (tmp_path / "crt").write_bytes(holder(5).pem)
        (tmp_path / "key").write_bytes(holder(5).key_pem)
        files = {"drm_cpix_certificate_file": tmp_path / "crt", "drm_cpix_key_file": tmp_path / "key"}
        async with a_key_server(mesh, **files) as server:
            await server.packager(certificate=holder(1).der)
            answer = markup.read((await server.speke(self.signed(1))).content)
            assert signatures.verify_whole(answer, [holder(5).der])
            assert not signatures.is_signed(markup.read((await server.speke(request())).content))


class TestRefusals:
    @pytest.mark.parametrize(
        ("number", "words"),
        [
            ("3", "Unsupported CPIX@version"),
            ("4", "Malformed encryption contract"),
            ("5", "Malformed encryption contract"),
        ],
    )
    async def test_amazons_negative_requests(self, server: KeyServer, number: str, words: str) -> None:
        answer = await server.speke(vector(number))
        assert (answer.status_code, answer.text) == (422, words)
        assert answer.headers["content-type"].startswith("text/plain")
        assert answer.headers["x-speke-version"] == "2.0"
        assert answer.headers["x-speke-user-agent"]

    @pytest.mark.parametrize("version", ["1.0", "2.1", ""])
    async def test_other_versions_of_speke(self, server: KeyServer, version: str) -> None:
        answer = await server.speke(request(), x_speke_version=version)
        assert (answer.status_code, answer.text) == (422, "Unsupported SPEKE version")
        assert answer.headers["x-speke-version"] == (version or "2.0")

    @pytest.mark.parametrize(
        ("document", "words"),
        [
            (b"", "The document is no well-formed XML (line 1, column 1)"),
            (b"<!DOCTYPE x [<!ENTITY y SYSTEM 'file:///etc/passwd'>]><x>&y;</x>", "The document has a DTD"),
            (b"<html/>", "The document is no CPIX"),
            (request(asked(content_id="")), "Missing CPIX@contentId"),
        ],
    )
    async def test_what_is_no_request(self, server: KeyServer, document: bytes, words: str) -> None:
        answer = await server.speke(document)
        assert (answer.status_code, answer.text) == (422, words)

    async def test_what_is_not_xml_or_too_long(self, server: KeyServer) -> None:
        assert (await server.speke(request(), content_type="application/json")).status_code == 400
        assert (await server.speke(b"x" * 1_048_577)).status_code == 400
        assert (await server.http.get("/speke/v2.0/copyProtection")).status_code == 405

    async def test_by_grpc_the_reason_is_typed_and_the_words_are_in_it(self, server: KeyServer) -> None:
        for document, reason, words in (
            (vector("3"), "CPIX_REFUSED", "Unsupported CPIX@version"),
            (b"<a", "CPIX_MALFORMED", "The document is no well-formed XML (line 1, column 3)"),
        ):
            refusal = await refused(
                server.admin.ProvideCpixKeys(api.ProvideCpixKeysRequest(speke_version="2.0", document=document))
            )
            assert (refusal.code.name, refusal.reason, refusal.domain) == ("INVALID_ARGUMENT", reason, "drm.reelmesh")
            assert refusal.metadata["words"] == words


class TestCredentials:
    async def test_an_api_key_may_be_sent_as_a_password(self, server: KeyServer) -> None:
        basic = base64.b64encode(f"anybody:{operator_key(server.settings)}".encode()).decode()
        answer = await server.speke(request(), authorization=f"Basic {basic}")
        assert answer.status_code == 200

    @pytest.mark.parametrize("authorization", ["", "Bearer rmk_wrong", "Basic ???", "Basic YTpi", "Digest x"])
    async def test_without_a_good_credential_there_are_no_keys(self, server: KeyServer, authorization: str) -> None:
        answer = await server.speke(request(), authorization=authorization)
        assert answer.status_code == 401
        assert "Basic realm=" in answer.headers["www-authenticate"]
        assert not await server.sql("SELECT * FROM content_keys")

    async def test_a_key_needs_the_permission_and_no_more(self, server: KeyServer) -> None:
        organisation_id = organisation_of_operator(server.settings)
        with with_api_key(
            server.settings, organisation_id=organisation_id, permissions=["content_keys.provide"]
        ) as key:
            assert (await server.speke(request(), key=key)).status_code == 200
        with with_api_key(server.settings, organisation_id=organisation_id, permissions=["packagers.manage"]) as key:
            assert (await server.speke(request(), key=key)).status_code == 403


class TestEvents:
    async def test_each_delivery_is_announced_with_everything_but_the_key(self, server: KeyServer) -> None:
        keys = keys_in((await server.speke(request())).content)
        await server.speke(request())
        await server.bus.hears(events_pb2.ContentKeysProvided, count=2)
        first, second = server.bus.heard(events_pb2.ContentKeysProvided)
        assert first.keyed_content_id == second.keyed_content_id
        assert (first.organisation_id, first.content_id) == (organisation_of_operator(server.settings), "film-1")
        assert list(first.key_ids) == [key_id(0).hex(), key_id(1).hex()]
        assert first.protocol == drm_pb2.KEY_PROTOCOL_SPEKE
        assert first.actor
        assert not any(key in data for key in keys.values() for data in server.bus.said())

    async def test_a_refusal_is_no_delivery(self, server: KeyServer) -> None:
        await server.speke(vector("4"))
        await server.speke(request())
        await server.bus.hears(events_pb2.ContentKeysProvided)
        assert len(server.bus.heard(events_pb2.ContentKeysProvided)) == 1


class TestContents:
    async def test_they_are_listed_newest_first_page_by_page(self, server: KeyServer) -> None:
        for number in range(3):
            await server.speke(request(asked(content_id=f"film-{number}")))
        first = await server.admin.ListKeyedContents(api.ListKeyedContentsRequest(page_size=2))
        assert [content.content_id for content in first.keyed_contents] == ["film-2", "film-1"]
        rest = await server.admin.ListKeyedContents(
            api.ListKeyedContentsRequest(page_size=2, page_token=first.next_page_token)
        )
        assert [content.content_id for content in rest.keyed_contents] == ["film-0"]
        assert not rest.next_page_token

    async def test_a_deleted_content_has_no_keys_and_gets_new_ones(self, server: KeyServer) -> None:
        before = keys_in((await server.speke(request())).content)
        (content,) = (await server.admin.ListKeyedContents(api.ListKeyedContentsRequest())).keyed_contents
        delete = api.DeleteKeyedContentRequest(keyed_content_id=content.keyed_content_id)
        await server.admin.DeleteKeyedContent(delete)
        assert not await server.sql("SELECT * FROM content_keys")
        await server.admin.DeleteKeyedContent(delete)
        told = await server.bus.hears(events_pb2.KeyedContentDeleted)
        assert (told.keyed_content_id, told.content_id) == (content.keyed_content_id, "film-1")
        assert len(server.bus.heard(events_pb2.KeyedContentDeleted)) == 1
        assert not set(keys_in((await server.speke(request())).content).values()) & set(before.values())

    async def test_others_neither_see_nor_delete_them(self, server: KeyServer, other_organisation_key: str) -> None:
        await server.speke(request())
        (content,) = (await server.admin.ListKeyedContents(api.ListKeyedContentsRequest())).keyed_contents
        async with connected(server.settings, "drm", key=other_organisation_key) as channel:
            other = stub_of(channel)
            assert not (await other.ListKeyedContents(api.ListKeyedContentsRequest())).keyed_contents
            await other.DeleteKeyedContent(api.DeleteKeyedContentRequest(keyed_content_id=content.keyed_content_id))
        assert len(await server.sql("SELECT * FROM content_keys")) == 2

    async def test_one_that_never_was_can_be_deleted(self, server: KeyServer) -> None:
        await server.admin.DeleteKeyedContent(api.DeleteKeyedContentRequest(keyed_content_id=new_id("kct")))


class TestTrouble:
    async def test_while_the_service_is_away_packagers_are_told_to_come_again(self, mesh: ProcessSettings) -> None:
        async with a_gateway(mesh, peers={"drm": f"unix:{mesh.run_dir}/nobody.sock"}) as http:
            headers = {"content-type": "application/xml", "x-speke-version": "2.0"}
            answer = await http.post(SPEKE, content=request(), headers=headers)
            assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
            answer = await http.post("/cenc/getcontentkey", json=Signer("x", bytes(32), bytes(16)).message(said()))
            told = json.loads(base64.b64decode(answer.json()["response"]))
            assert told == {"status": "INTERNAL_ERROR"}, "after which the packager tries again by itself"


class TestRotation:
    """Keys of outside packagers are sealed anew with all others, each within its own content."""

    async def test_keys_and_signatures_stay_good(self, server: KeyServer, other_organisation_key: str) -> None:
        ours = keys_in((await server.speke(request())).content)
        more = keys_in((await server.speke(request(asked(content_id="film-2")))).content)
        theirs = keys_in((await server.speke(request(), key=other_organisation_key)).content)
        signer = await server.packager()
        packaged = await server.asks(signer.message(said()))
        await rotated(server)
        sealed = await server.sql("SELECT version, organisation_id FROM content_keys")
        mine = organisation_of_operator(server.settings)
        assert {row["version"] for row in sealed if row["organisation_id"] == mine} == {2}
        assert {row["version"] for row in sealed if row["organisation_id"] != mine} == {1}
        assert keys_in((await server.speke(request())).content) == ours
        assert keys_in((await server.speke(request(asked(content_id="film-2")))).content) == more
        assert keys_in((await server.speke(request(), key=other_organisation_key)).content) == theirs
        assert await server.asks(signer.message(said())) == packaged

    async def test_an_emergency_asks_nobody_to_package_what_others_package(self, server: KeyServer) -> None:
        await server.speke(request())
        await server.packager()
        begin = keys_api.StartEmergencyRequest(request_id=new_id("req"), reason="a laptop was stolen")
        assert (await refused(server.keys.StartEmergency(begin))).reason == "NOTHING_TO_ROTATE"

    async def test_who_got_and_who_deleted_them_stands_in_the_audit(self, server: KeyServer) -> None:
        await server.speke(request())
        (content,) = (await server.admin.ListKeyedContents(api.ListKeyedContentsRequest())).keyed_contents
        await server.admin.DeleteKeyedContent(api.DeleteKeyedContentRequest(keyed_content_id=content.keyed_content_id))
        used = (await server.keys.ListKeyUses(keys_api.ListKeyUsesRequest(key_id=key_id(0).hex()))).uses
        assert [one.action for one in used] == [keys_api.KEY_ACTION_DESTROYED, keys_api.KEY_ACTION_PACKAGED]
        assert {one.package_id for one in used} == {content.keyed_content_id}


async def rotated(server: KeyServer) -> None:
    """Rotates the organisation's key-encryption key, to the end."""
    begun = await server.keys.StartRotation(keys_api.StartRotationRequest(request_id=new_id("req")))
    async with asyncio.timeout(60):
        while True:
            asked_for = keys_api.GetRotationRequest(rotation_id=begun.rotation.rotation_id)
            if (await server.keys.GetRotation(asked_for)).rotation.HasField("complete_time"):
                return
            await asyncio.sleep(0.05)
