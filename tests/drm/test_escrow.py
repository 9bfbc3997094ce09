"""The escrow: an install whose root key is lost opens its content keys again, by enough shares and by nothing less."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import grpc
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from reelmesh.drm.v1 import keys_service_pb2 as api
from reelmesh.drm.v1 import keys_service_pb2_grpc

from services.drm.escrow.shares import NewEscrow, OpenEscrow, WrongShares, new_escrow
from services.drm.keystores.root_files import write
from services.kit.ids import new_id
from tests.drm.backends import Backend, backend
from tests.drm.scene import Keys, with_keys
from tests.policy.scene import Scene, refused
from tests.support.keeping import completed, start
from tests.support.running import connected


@pytest.fixture(scope="module")
def made() -> NewEscrow:
    return new_escrow(3, 5)


async def take_up(keys: Keys, escrow: NewEscrow) -> api.CreateEscrowResponse:
    return await keys.keeping.CreateEscrow(
        api.CreateEscrowRequest(
            request_id=new_id("req"),
            public_key=escrow.public_key,
            sealed_private_key=escrow.sealed_private_key,
            threshold=3,
            share_count=5,
        )
    )


async def opened(keys: Keys, shares: Sequence[str]) -> list[api.RestoredKey]:
    """Everything that the escrow of an install holds, opened by shares."""
    escrow = (await keys.keeping.GetEscrow(api.GetEscrowRequest())).escrow
    box = OpenEscrow(shares, escrow.public_key, escrow.sealed_private_key, escrow.threshold)
    held = (await keys.keeping.ListEscrowedKeys(api.ListEscrowedKeysRequest())).keys
    return [api.RestoredKey(kek_id=one.kek_id, key=box.key(one.kek_id, one.encrypted, one.check_value)) for one in held]


def other_secrets(scene: Scene, name: str) -> Path:
    """A folder of secrets with another root key: what is left after the disk with the first one died."""
    folder = scene.settings.secrets_dir.parent / name
    folder.mkdir(exist_ok=True)
    for file in ("api_keys.json", "operator_api_key"):
        (folder / file).write_bytes((scene.settings.secrets_dir / file).read_bytes())
    write(folder / "root_key", secrets.token_bytes(31) + b"k")
    return folder


class TestShares:
    def test_any_three_of_five_open_it_and_no_two_do(self, made: NewEscrow) -> None:
        for three in combinations(made.shares, 3):
            OpenEscrow(three, made.public_key, made.sealed_private_key, 3)
        for two in combinations(made.shares, 2):
            with pytest.raises(WrongShares, match="3 different shares are needed, and 2"):
                OpenEscrow(two, made.public_key, made.sealed_private_key, 3)
            with pytest.raises(WrongShares):
                OpenEscrow(two, made.public_key, made.sealed_private_key, 2)

    def test_order_case_spaces_and_numbers_do_not_matter_and_more_do_no_harm(self, made: NewEscrow) -> None:
        numbered = [f"{number} {word}" for number, word in enumerate(made.shares[0].split(), 1)]
        OpenEscrow([" ".join(numbered), *made.shares[1:3]], made.public_key, made.sealed_private_key, 3)
        told = [f"  {share.upper().replace(' ', '   ')}\n" for share in reversed(made.shares)]
        OpenEscrow(told, made.public_key, made.sealed_private_key, 3)

    def test_the_same_share_twice_is_one(self, made: NewEscrow) -> None:
        with pytest.raises(WrongShares, match="2"):
            OpenEscrow([made.shares[0], made.shares[1], made.shares[0]], made.public_key, made.sealed_private_key, 3)

    def test_a_mistyped_word_is_noticed(self, made: NewEscrow) -> None:
        words = made.shares[0].split()
        words[10] = "academic" if words[10] != "academic" else "acid"
        with pytest.raises(WrongShares, match="do not fit together"):
            OpenEscrow([" ".join(words), made.shares[1], made.shares[2]], made.public_key, made.sealed_private_key, 3)

    def test_shares_of_another_escrow_open_nothing(self, made: NewEscrow) -> None:
        other = new_escrow(3, 5)
        with pytest.raises(WrongShares, match="another escrow"):
            OpenEscrow(other.shares, made.public_key, made.sealed_private_key, 3)
        with pytest.raises(WrongShares, match="do not fit together"):
            OpenEscrow([*other.shares[:1], *made.shares[:2]], made.public_key, made.sealed_private_key, 3)

    @pytest.mark.parametrize(("threshold", "count"), [(1, 3), (4, 3), (3, 17)])
    def test_what_makes_no_sense_is_not_made(self, threshold: int, count: int) -> None:
        with pytest.raises(ValueError, match="2 to 16"):
            new_escrow(threshold, count)

    def test_it_prints_without_its_shares(self, made: NewEscrow) -> None:
        assert made.shares[0] not in repr(made)


class TestALostRootKey:
    async def test_shares_bring_everything_back(self, scene: Scene, made: NewEscrow) -> None:
        async with with_keys(scene) as keys:
            film = await keys.film()
            assert (await take_up(keys, made)).escrowed == 1
            await completed(keys, await start(keys))  # what is made afterwards is kept too
            later = await keys.film()
        folder = other_secrets(scene, "after-the-loss")
        async with with_keys(scene, secrets_dir=folder, tls_dir=scene.settings.secrets_dir / "tls") as keys:
            assert (await refused(keys.licence(film))).reason == "KEYSTORE_LOCKED"
            before = await keys.keeping.GetEscrow(api.GetEscrowRequest())
            assert (before.keks, before.locked_keks, before.escrowed_keks) == (2, 2, 2)
            restored = await opened(keys, made.shares[1:4])
            # A rehearsal ends here: nothing was changed.
            assert (await keys.keeping.GetEscrow(api.GetEscrowRequest())).locked_keks == 2
            answer = await keys.keeping.RestoreKeys(api.RestoreKeysRequest(keys=restored))
            assert answer.restored == 2
            assert (await keys.keeping.RestoreKeys(api.RestoreKeysRequest(keys=restored))).restored == 0
            for one in (film, later):
                assert [key.key for key in await keys.make(one.package_id, "AUDIO", "HD")] == [
                    key.key for key in one.keys
                ]
                await keys.licence(one)
            assert (await keys.keeping.GetEscrow(api.GetEscrowRequest())).locked_keks == 0
            used = (await keys.keeping.ListKeyUses(api.ListKeyUsesRequest())).uses
            assert sum(one.action == api.KEY_ACTION_KEK_RESTORED for one in used) == 2
            assert sum(one.action == api.KEY_ACTION_KEK_ESCROWED for one in used) == 2

    async def test_another_key_is_refused_and_nothing_is_changed(self, scene: Scene, made: NewEscrow) -> None:
        async with with_keys(scene) as keys:
            await keys.film()
            await take_up(keys, made)
        folder = other_secrets(scene, "after-another-loss")
        async with with_keys(scene, secrets_dir=folder, tls_dir=scene.settings.secrets_dir / "tls") as keys:
            (held,) = await opened(keys, made.shares[:3])
            for wrong in (
                api.RestoredKey(kek_id=held.kek_id, key=secrets.token_bytes(32)),
                api.RestoredKey(kek_id=new_id("kek"), key=held.key),
            ):
                refusal = await refused(keys.keeping.RestoreKeys(api.RestoreKeysRequest(keys=[held, wrong])))
                assert (refusal.reason, refusal.metadata["kek_id"]) == ("KEY_MISMATCH", wrong.kek_id)
            assert (await keys.keeping.GetEscrow(api.GetEscrowRequest())).locked_keks == 1


class TestAnEscrow:
    async def test_a_newer_one_takes_its_place(self, keys: Keys, made: NewEscrow) -> None:
        await keys.film()
        await take_up(keys, made)
        newer = new_escrow(3, 5)
        await take_up(keys, newer)
        with pytest.raises(WrongShares, match="another escrow"):
            await opened(keys, made.shares)
        assert len(await opened(keys, newer.shares)) == 1

    async def test_without_one_there_is_nothing_to_list(self, keys: Keys) -> None:
        refusal = await refused(keys.keeping.ListEscrowedKeys(api.ListEscrowedKeysRequest()))
        assert refusal.reason == "ESCROW_MISSING"
        assert not (await keys.keeping.GetEscrow(api.GetEscrowRequest())).HasField("escrow")

    async def test_a_weak_key_and_an_impossible_threshold_are_refused(self, keys: Keys, made: NewEscrow) -> None:
        weak = rsa.generate_private_key(65537, 2048).public_key()
        short = weak.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        for public_key, threshold in ((short, 3), (b"x" * 100, 3), (made.public_key, 6)):
            request = api.CreateEscrowRequest(
                request_id=new_id("req"),
                public_key=public_key,
                sealed_private_key=made.sealed_private_key,
                threshold=threshold,
                share_count=5,
            )
            assert (await refused(keys.keeping.CreateEscrow(request))).reason == "ESCROW_INVALID"

    async def test_only_the_operator_of_the_install_may(self, keys: Keys, other_organisation_key: str) -> None:
        """An admin of one organisation may do everything in it, and nothing to the keys of others."""
        async with connected(keys.settings, "drm", key=other_organisation_key) as channel:
            stub = keys_service_pb2_grpc.KeysServiceStub(channel)
            refusal = await refused(stub.GetEscrow(api.GetEscrowRequest()))
            assert (refusal.code, refusal.reason) == (grpc.StatusCode.PERMISSION_DENIED, "OPERATOR_ONLY")


class TestEveryKeystoreAsARootOfTheService:
    @pytest.fixture(params=["file under a passphrase", "pkcs11", "aws-kms", "vault"])
    def kind(self, request: pytest.FixtureRequest, tmp_path: Path, softhsm_here: Path) -> Iterator[Backend]:
        with backend(request.param, tmp_path) as made:
            yield made

    @pytest.fixture
    async def rooted(self, scene: Scene, kind: Backend) -> AsyncIterator[Rooted]:
        fields = kind.settings.model_dump(
            include={name for name in type(kind.settings).model_fields if name.startswith("drm_")}
        )
        if kind.name.startswith("file"):
            folder = other_secrets(scene, "under-a-passphrase")
            write(folder / "root_key", (kind.settings.secrets_dir / "root_key").read_bytes())
            fields |= {"secrets_dir": folder, "tls_dir": scene.settings.secrets_dir / "tls"}
        async with with_keys(scene, **fields) as keys:
            yield Rooted(kind, keys)

    async def test_keys_are_made_given_rotated_and_escrowed(self, rooted: Rooted, made: NewEscrow) -> None:
        keys = rooted.keys
        film = await keys.film()
        await keys.licence(film)
        assert (await take_up(keys, made)).escrowed == 1
        await completed(keys, await start(keys))
        assert [key.key for key in await keys.make(film.package_id, "AUDIO", "HD")] == [key.key for key in film.keys]
        assert len(await opened(keys, made.shares[:3])) == 2

    async def test_the_root_key_is_rotated_where_the_keystore_can(self, rooted: Rooted) -> None:
        keys = rooted.keys
        film = await keys.film()
        request = api.RotateRootKeyRequest(request_id=new_id("req"))
        if rooted.kind.name == "aws-kms":
            refusal = await refused(keys.keeping.RotateRootKey(request))
            assert refusal.reason == "KEYSTORE_UNABLE"
            return
        if rooted.kind.name.startswith("file"):  # a change that a crash ended after its first step
            folder = keys.settings.secrets_dir
            write(folder / "root_key.former", (folder / "root_key").read_bytes())
        before = (await keys.keeping.ListKeyEncryptionKeys(api.ListKeyEncryptionKeysRequest())).root_id
        answer = await keys.keeping.RotateRootKey(request)
        assert answer.root_id != before
        listed = await keys.keeping.ListKeyEncryptionKeys(api.ListKeyEncryptionKeysRequest())
        assert {one.root_id for one in listed.keys} == {answer.root_id}
        await keys.licence(film)
        assert await keys.keeping.RotateRootKey(request) == answer


@dataclass(frozen=True)
class Rooted:
    """The service with its root key in one kind of keystore."""

    kind: Backend
    keys: Keys
