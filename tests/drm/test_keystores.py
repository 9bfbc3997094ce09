"""The suite that every keystore passes."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from services.drm.keystores.choice import chosen
from services.drm.keystores.escrow_key import oaep
from services.drm.keystores.keystore import AesGcmKey, Keystore, Locked, Unreachable, WrongKeystore
from services.drm.keystores.pkcs11 import Pkcs11Keystore
from tests.drm.backends import NAMES, Backend, backend, settings_of
from tests.support import softhsm

BOUND = b"org_1|kid|1"


@pytest.fixture(params=NAMES)
def kind(request: pytest.FixtureRequest, tmp_path: Path, softhsm_here: Path) -> Iterator[Backend]:
    with backend(request.param, tmp_path) as made:
        yield made


@pytest.fixture
def keystore(kind: Backend) -> Keystore:
    return kind.open()


class TestEveryKeystore:
    def test_what_is_sealed_opens_again_and_never_looks_the_same_twice(self, keystore: Keystore) -> None:
        key = keystore.open(keystore.new_key_encryption_key())
        sealed = [key.seal(b"k" * 32, BOUND) for _ in range(2)]
        assert sealed[0] != sealed[1]
        assert {key.unseal(one, BOUND) for one in sealed} == {b"k" * 32}

    def test_each_key_encryption_key_is_another(self, keystore: Keystore) -> None:
        one, other = (keystore.open(keystore.new_key_encryption_key()) for _ in range(2))
        with pytest.raises(Locked):
            other.unseal(one.seal(b"secret", BOUND), BOUND)

    def test_a_key_opens_after_a_restart(self, kind: Backend, keystore: Keystore) -> None:
        wrapped = keystore.new_key_encryption_key()
        sealed = keystore.open(wrapped).seal(b"secret", BOUND)
        again = kind.open()
        assert again.open(wrapped).unseal(sealed, BOUND) == b"secret"
        assert again.root_id() == keystore.root_id()

    def test_a_seal_is_bound(self, keystore: Keystore) -> None:
        key = keystore.open(keystore.new_key_encryption_key())
        sealed = key.seal(b"secret", BOUND)
        with pytest.raises(Locked):
            key.unseal(sealed, b"org_2|kid|1")
        assert key.unseal(sealed, BOUND) == b"secret", "a refusal leaves the key in order"

    @pytest.mark.parametrize("position", [0, 12, -1])
    def test_one_changed_bit_spoils_a_seal(self, keystore: Keystore, position: int) -> None:
        key = keystore.open(keystore.new_key_encryption_key())
        sealed = bytearray(key.seal(b"k" * 32, BOUND))
        sealed[position] ^= 1
        with pytest.raises(Locked):
            key.unseal(bytes(sealed), BOUND)

    def test_a_seal_that_was_cut_short_does_not_open(self, keystore: Keystore) -> None:
        key = keystore.open(keystore.new_key_encryption_key())
        for length in (0, 12, 27, 28):
            with pytest.raises(Locked):
                key.unseal(b"x" * length, BOUND)

    def test_what_was_never_wrapped_or_was_altered_does_not_open(self, keystore: Keystore) -> None:
        wrapped = bytearray(keystore.new_key_encryption_key())
        wrapped[-5] ^= 1
        for wrong in (bytes(wrapped), b"", b"x" * 39, b"x" * 40):
            with pytest.raises(Locked):
                keystore.open(wrong)

    def test_another_root_key_opens_nothing_where_the_keystore_itself_has_no_say(
        self, kind: Backend, keystore: Keystore
    ) -> None:
        other = kind.open_other()
        assert other.root_id() != keystore.root_id()
        if kind.name == "aws-kms":  # KMS opens by whichever key of the account wrapped; rights to it are given there
            other.open(keystore.new_key_encryption_key())
            return
        with pytest.raises(Locked):
            other.open(keystore.new_key_encryption_key())

    def test_a_new_root_key_wraps_and_the_old_one_still_opens(self, kind: Backend, keystore: Keystore) -> None:
        before, wrapped = keystore.root_id(), keystore.new_key_encryption_key()
        sealed = keystore.open(wrapped).seal(b"secret", BOUND)
        if kind.name == "aws-kms":
            with pytest.raises(WrongKeystore, match="REELMESH_DRM_AWS_KMS_KEY"):
                keystore.add_root()
            keystore = kind.open_other()  # what the message says to do
        else:
            assert keystore.add_root() != before
        assert keystore.root_id() != before
        assert keystore.open(wrapped).unseal(sealed, BOUND) == b"secret"
        rewrapped = keystore.rewrapped(wrapped)
        assert rewrapped != wrapped
        keystore.drop_former_roots()
        assert keystore.open(rewrapped).unseal(sealed, BOUND) == b"secret"
        if kind.name.startswith("file") or kind.name == "pkcs11":
            with pytest.raises(Locked):
                keystore.open(wrapped)

    def test_an_escrow_opens_what_the_keystore_wrapped_and_another_takes_it_in(
        self, kind: Backend, keystore: Keystore
    ) -> None:
        escrow = rsa.generate_private_key(65537, 2048)
        public = escrow.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        wrapped = keystore.new_key_encryption_key()
        sealed = keystore.open(wrapped).seal(b"secret", BOUND)
        bare = escrow.decrypt(keystore.escrowed(wrapped, public), oaep())
        assert AesGcmKey(bare).unseal(sealed, BOUND) == b"secret"
        other = kind.open_other()
        assert other.open(other.wrapped(bare)).unseal(sealed, BOUND) == b"secret"

    def test_many_threads_use_one_key(self, keystore: Keystore) -> None:
        key = keystore.open(keystore.new_key_encryption_key())

        def there_and_back(number: int) -> bool:
            secret = number.to_bytes(32, "big")
            return key.unseal(key.seal(secret, BOUND), BOUND) == secret

        with ThreadPoolExecutor(16) as threads:
            assert all(threads.map(there_and_back, range(200)))

    def test_a_keystore_that_is_away_is_told_from_bytes_that_do_not_open(
        self, kind: Backend, keystore: Keystore
    ) -> None:
        wrapped = keystore.new_key_encryption_key()
        sealed = keystore.open(wrapped).seal(b"secret", BOUND)
        if kind.interrupt is None:
            return
        kind.interrupt()
        with pytest.raises(Unreachable) as caught:
            keystore.open(wrapped)
        assert caught.value.__cause__ is None
        if kind.name == "vault":
            kind.mend()
            assert keystore.open(wrapped).unseal(sealed, BOUND) == b"secret"

    def test_nothing_prints_a_key(self, keystore: Keystore) -> None:
        wrapped = keystore.new_key_encryption_key()
        assert wrapped.hex() not in repr(keystore) + repr(keystore.open(wrapped))


class TestTheToken:
    def test_the_root_key_cannot_be_got_out(self, softhsm_here: Path, tmp_path: Path) -> None:
        import pkcs11
        from pkcs11 import Attribute, Mechanism, ObjectClass

        with backend("pkcs11", tmp_path) as kind:
            keystore = kind.open()
            keystore.new_key_encryption_key()
            token = pkcs11.lib(str(softhsm.MODULE)).get_token(token_label=kind.settings.drm_pkcs11_token)
            with token.open(rw=True) as session:
                root: Any
                (root,) = session.get_objects({Attribute.CLASS: ObjectClass.SECRET_KEY, Attribute.TOKEN: True})
                assert (root[Attribute.EXTRACTABLE], root[Attribute.NEVER_EXTRACTABLE]) == (False, True)
                with pytest.raises(pkcs11.AttributeSensitive):
                    root[Attribute.VALUE]
                with pytest.raises(pkcs11.PKCS11Error):
                    root.wrap_key(root, mechanism=Mechanism.AES_KEY_WRAP)

    def test_it_goes_on_after_the_module_lost_its_sessions(self, softhsm_here: Path, tmp_path: Path) -> None:
        import pkcs11

        with backend("pkcs11", tmp_path) as kind:
            keystore = kind.open()
            wrapped = keystore.new_key_encryption_key()
            key = keystore.open(wrapped)
            sealed = key.seal(b"secret", BOUND)
            pkcs11.lib(str(softhsm.MODULE)).reinitialize()  # what pulling a token out and putting it back amounts to
            assert key.unseal(sealed, BOUND) == b"secret"
            assert keystore.open(wrapped).unseal(sealed, BOUND) == b"secret"

    def test_a_key_that_was_given_up_is_gone_from_the_token(self, softhsm_here: Path, tmp_path: Path) -> None:
        import pkcs11
        from pkcs11 import Attribute, ObjectClass

        with backend("pkcs11", tmp_path) as kind:
            keystore = kind.open()
            token = pkcs11.lib(str(softhsm.MODULE)).get_token(token_label=kind.settings.drm_pkcs11_token)

            def in_use() -> int:
                with token.open(rw=True) as session:
                    inside = {Attribute.CLASS: ObjectClass.SECRET_KEY, Attribute.TOKEN: False}
                    return len(list(session.get_objects(inside)))

            before = in_use()
            key = keystore.open(keystore.new_key_encryption_key())
            key.seal(b"secret", BOUND)
            assert in_use() == before + 1
            key.close()
            assert in_use() == before


class TestSettingsThatCannotWork:
    @pytest.mark.parametrize(
        ("fields", "said"),
        [
            ({"drm_keystore": "pkcs11"}, "REELMESH_DRM_PKCS11_MODULE and REELMESH_DRM_PKCS11_PIN_FILE"),
            ({"drm_keystore": "aws-kms"}, "REELMESH_DRM_AWS_KMS_KEY"),
            ({"drm_keystore": "vault"}, "REELMESH_DRM_VAULT_ADDRESS"),
            ({"drm_keystore": "vault", "drm_vault_address": "http://127.0.0.1:1"}, "REELMESH_DRM_VAULT_TOKEN_FILE"),
            ({"drm_keystore": "file"}, "keys recover"),
        ],
    )
    def test_what_is_missing_is_named(self, tmp_path: Path, fields: dict[str, object], said: str) -> None:
        with pytest.raises(WrongKeystore, match=said):
            chosen(settings_of(tmp_path, **fields))

    def test_a_module_a_token_and_a_pin_that_are_wrong_are_told_apart(self, softhsm_here: Path, tmp_path: Path) -> None:
        token = softhsm.new_token(softhsm_here, "told-apart")
        (tmp_path / "pin").write_text("000000")
        for changed, said in (
            ({"drm_pkcs11_module": tmp_path / "no.so"}, "there is no PKCS#11 module"),
            ({"drm_pkcs11_token": "nobody"}, "no token with the label 'nobody'"),
            ({"drm_pkcs11_pin_file": tmp_path / "pin"}, "does not take the PIN"),
        ):
            with pytest.raises(WrongKeystore, match=said):
                chosen(settings_of(tmp_path, **{**token.settings(), **changed}))
        right = chosen(settings_of(tmp_path, **token.settings()))
        assert isinstance(right, Pkcs11Keystore)
        right.close()

    def test_vault_refuses_a_wrong_token_at_once(self, tmp_path: Path, softhsm_here: Path) -> None:
        with backend("vault", tmp_path) as kind:
            (tmp_path / "vault_token").write_text("another")
            with pytest.raises(WrongKeystore, match="403"):
                kind.open()
