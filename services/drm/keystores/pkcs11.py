"""The keystore with its root key in hardware, by PKCS#11. Neither it nor a key-encryption key ever leaves the token in the clear.

The root key is an AES-256 key of the token that cannot be extracted; it wraps key-encryption keys by AES-KW (RFC 3394), which live in the token
as session objects for as long as they are used. Of several root keys with the same label the one with the highest CKA_ID wraps.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeVar

import pkcs11
from pkcs11 import MGF, Attribute, GCMParams, KeyType, Mechanism, MechanismFlag, ObjectClass
from pkcs11.exceptions import (
    EncryptedDataInvalid,
    EncryptedDataLenRange,
    FunctionNotSupported,
    GeneralError,
    MechanismInvalid,
    NoSuchToken,
    PinIncorrect,
    PinLocked,
    PKCS11Error,
    UserAlreadyLoggedIn,
    WrappedKeyInvalid,
    WrappedKeyLenRange,
)
from pkcs11.util.rsa import decode_rsa_public_key

from services.drm.keystores.keystore import KeyEncryptionKey, Locked, Unreachable, WrongKeystore

_BITS: Final = 256
_NONCE_BYTES: Final = 12
_TAG_BYTES: Final = 16
_ONE_CALL: Final = threading.RLock()
"""Held for each call of a module: python-pkcs11 initialises it without locking of its own (`C_Initialize(NULL)`, PKCS #11 2.40 §5.4)."""
_WRONG_BYTES: Final = (EncryptedDataInvalid, EncryptedDataLenRange, WrappedKeyInvalid, WrappedKeyLenRange)
# As attributes of every key-encryption key: it seals and unseals inside the token, and nothing gets it out.
_USED_INSIDE: Final = {
    Attribute.TOKEN: False,
    Attribute.PRIVATE: True,
    Attribute.SENSITIVE: True,
    Attribute.EXTRACTABLE: False,
    Attribute.ENCRYPT: True,
    Attribute.DECRYPT: True,
}
# For as long as it takes to wrap it.
_TO_BE_WRAPPED: Final = {
    Attribute.TOKEN: False,
    Attribute.PRIVATE: True,
    Attribute.SENSITIVE: True,
    Attribute.EXTRACTABLE: True,
}

Answer = TypeVar("Answer")


@dataclass(slots=True)
class _Connection:
    """A session with the token, and the key-encryption keys that were opened in it."""

    session: Any
    keys: dict[int, Any] = field(default_factory=dict)


class Pkcs11Keystore:
    """Uses a token's root key, making it at the first start.

    Args:
        module: the module's shared library, such as `/usr/lib/softhsm/libsofthsm2.so`.
        token: label of the token.
        pin: the user's PIN.
        label: label of the root keys.
    """

    waits = True

    def __init__(self, module: Path, token: str, pin: str, *, label: str) -> None:
        self._module, self._token_label, self._pin, self._label = module, token, pin, label
        self._held: _Connection | None = None
        self._numbers = iter(range(1, 1 << 62))
        with _ONE_CALL:
            self._connect(again=False)

    def root_id(self) -> str:
        return self._named(self._run(lambda held: bytes(self._roots(held)[0][Attribute.ID])))

    def new_key_encryption_key(self) -> bytes:
        def make(held: _Connection) -> bytes:
            key = held.session.generate_key(KeyType.AES, _BITS, store=False, template=_TO_BE_WRAPPED)
            try:
                return bytes(self._roots(held)[0].wrap_key(key, mechanism=Mechanism.AES_KEY_WRAP))
            finally:
                key.destroy()

        return self._run(make)

    def open(self, wrapped: bytes) -> KeyEncryptionKey:
        key = _TokenKey(self, wrapped, next(self._numbers))
        key.check()
        return key

    def rewrapped(self, wrapped: bytes) -> bytes:
        def act(held: _Connection) -> bytes:
            with self._extractable(held, wrapped) as key:
                return bytes(self._roots(held)[0].wrap_key(key, mechanism=Mechanism.AES_KEY_WRAP))

        return self._run(act)

    def wrapped(self, key: bytes) -> bytes:
        def act(held: _Connection) -> bytes:
            taken = held.session.create_object(
                {
                    **_TO_BE_WRAPPED,
                    Attribute.CLASS: ObjectClass.SECRET_KEY,
                    Attribute.KEY_TYPE: KeyType.AES,
                    Attribute.VALUE: key,
                }
            )
            try:
                return bytes(self._roots(held)[0].wrap_key(taken, mechanism=Mechanism.AES_KEY_WRAP))
            finally:
                taken.destroy()

        return self._run(act)

    def escrowed(self, wrapped: bytes, public_key: bytes) -> bytes:
        def act(held: _Connection) -> bytes:
            told = {**decode_rsa_public_key(_pkcs1(public_key)), Attribute.TOKEN: False, Attribute.WRAP: True}
            escrow = held.session.create_object(told)
            try:
                with self._extractable(held, wrapped) as key:
                    return bytes(
                        escrow.wrap_key(
                            key, mechanism=Mechanism.RSA_PKCS_OAEP, mechanism_param=(Mechanism.SHA_1, MGF.SHA1, None)
                        )
                    )
            finally:
                escrow.destroy()

        return self._run(act)

    def add_root(self) -> str:
        return self._named(self._run(self._new_root))

    def drop_former_roots(self) -> Sequence[str]:
        def act(held: _Connection) -> list[str]:
            former = self._roots(held)[1:]
            names = [self._named(bytes(root[Attribute.ID])) for root in former]
            for root in former:
                root.destroy()
            return names

        return self._run(act)

    def close(self) -> None:
        with _ONE_CALL:
            self._disconnect()

    def used(self, number: int, wrapped: bytes, act: Callable[[Any], Answer]) -> Answer:
        """Does something with a key-encryption key inside the token."""

        def with_key(held: _Connection) -> Answer:
            key = held.keys.get(number)
            if key is None:
                key = held.keys[number] = self._unwrapped(held, wrapped, _USED_INSIDE)
            return act(key)

        return self._run(with_key)

    def given_up(self, number: int) -> None:
        """Removes a key-encryption key from the token."""
        with _ONE_CALL:
            key = self._held.keys.pop(number, None) if self._held else None
            if key is not None:
                with suppress(PKCS11Error):
                    key.destroy()

    def _run(self, act: Callable[[_Connection], Answer]) -> Answer:
        """When the token was gone, which a module tells in many words, it is connected to anew, and asked once more."""
        with _ONE_CALL:
            for last in (False, True):
                held = self._held or self._connect(again=True)
                try:
                    return act(held)
                except _WRONG_BYTES:
                    raise Locked("the token does not open it") from None
                except (MechanismInvalid, FunctionNotSupported) as error:
                    raise Unreachable(f"the token cannot do what is needed: {type(error).__name__}") from None
                except PKCS11Error as error:
                    if last:
                        raise Unreachable(f"the token refuses: {type(error).__name__}") from None
                    self._disconnect()
        raise AssertionError("unreachable")

    def _connect(self, *, again: bool) -> _Connection:
        try:
            library = pkcs11.lib(str(self._module))
            if again:  # only then does a module notice that a token came back
                library.reinitialize()
            self._held = _Connection(self._logged_in(self._token(library)))
        except (PinIncorrect, PinLocked) as error:
            raise WrongKeystore(
                f"the token {self._token_label!r} does not take the PIN ({type(error).__name__}): check REELMESH_DRM_PKCS11_PIN_FILE before "
                "it locks itself"
            ) from None
        except NoSuchToken:
            raise self._failed(again, f"the module has no token with the label {self._token_label!r}") from None
        except PKCS11Error as error:
            said = f"the module {self._module} does not start: {type(error).__name__} {error}"
            raise self._failed(again, said) from None
        return self._held

    def _token(self, library: Any) -> Any:
        try:
            return library.get_token(token_label=self._token_label)
        except NoSuchToken:  # a module looks for tokens when it starts; this one may be newer
            library.reinitialize()
            return library.get_token(token_label=self._token_label)

    def _logged_in(self, token: Any) -> Any:
        try:
            return token.open(user_pin=self._pin, rw=True)
        except UserAlreadyLoggedIn:  # another keystore of this process is: a login is the whole process's
            return token.open(rw=True)

    def _disconnect(self) -> None:
        if self._held is not None:
            with suppress(PKCS11Error):
                self._held.session.close()
        self._held = None

    @staticmethod
    def _failed(again: bool, message: str) -> Exception:
        return Unreachable(message) if again else WrongKeystore(message)

    def _roots(self, held: _Connection) -> list[Any]:
        """The root keys, the one that wraps first; made when there is none."""
        found = list(
            held.session.get_objects(
                {
                    Attribute.CLASS: ObjectClass.SECRET_KEY,
                    Attribute.KEY_TYPE: KeyType.AES,
                    Attribute.LABEL: self._label,
                    Attribute.TOKEN: True,
                }
            )
        )
        if not found:
            self._new_root(held)
            return self._roots(held)
        return sorted(found, key=lambda root: bytes(root[Attribute.ID]), reverse=True)

    def _new_root(self, held: _Connection) -> bytes:
        known = held.session.get_objects(
            {Attribute.CLASS: ObjectClass.SECRET_KEY, Attribute.LABEL: self._label, Attribute.TOKEN: True}
        )
        numbers = [int.from_bytes(bytes(root[Attribute.ID])[:4], "big") for root in known]
        # Two replicas may make the first one at the same moment: both stay, each by a name of its own, and the greater one wraps.
        number = (max(numbers, default=0) + 1).to_bytes(4, "big") + secrets.token_bytes(4)
        held.session.generate_key(
            KeyType.AES,
            _BITS,
            label=self._label,
            id=number,
            store=True,
            capabilities=MechanismFlag.WRAP | MechanismFlag.UNWRAP,
            template={Attribute.PRIVATE: True, Attribute.SENSITIVE: True, Attribute.EXTRACTABLE: False},
        )
        return number

    def _named(self, number: bytes) -> str:
        return f"pkcs11:{self._token_label}/{self._label}/{number.hex()}"

    def _unwrapped(self, held: _Connection, wrapped: bytes, template: dict[Attribute, bool]) -> Any:
        for root in self._roots(held):
            try:
                return root.unwrap_key(
                    ObjectClass.SECRET_KEY,
                    KeyType.AES,
                    wrapped,
                    mechanism=Mechanism.AES_KEY_WRAP,
                    store=False,
                    template=template,
                )
            except _WRONG_BYTES:
                continue
            except GeneralError:  # SoftHSM's word for a wrong check value; others use it for trouble of their own
                if self._works(held, root):
                    continue
                raise
        raise Locked("no root key of the token opens this key-encryption key")

    @staticmethod
    def _works(held: _Connection, root: Any) -> bool:
        """Whether the token can wrap now at all."""
        try:
            key = held.session.generate_key(KeyType.AES, _BITS, store=False, template=_TO_BE_WRAPPED)
            root.wrap_key(key, mechanism=Mechanism.AES_KEY_WRAP)
            key.destroy()
        except PKCS11Error:
            return False
        return True

    @contextmanager
    def _extractable(self, held: _Connection, wrapped: bytes) -> Iterator[Any]:
        """The key in a form that can be wrapped again, for a moment. It stays in the token."""
        key = self._unwrapped(held, wrapped, _TO_BE_WRAPPED)
        try:
            yield key
        finally:
            key.destroy()


class _TokenKey:
    """A key-encryption key that works inside the token: AES-256-GCM, in the same form as `AesGcmKey`."""

    __slots__ = ("_keystore", "_number", "_wrapped")

    def __init__(self, keystore: Pkcs11Keystore, wrapped: bytes, number: int) -> None:
        self._keystore, self._wrapped, self._number = keystore, wrapped, number

    def check(self) -> None:
        """Opens it in one session, to know now whether it can be.

        Raises:
            Locked, Unreachable: see there.
        """
        self._keystore.used(self._number, self._wrapped, lambda _key: None)

    def seal(self, secret: bytes, bound_to: bytes) -> bytes:
        nonce = secrets.token_bytes(_NONCE_BYTES)

        def act(key: Any) -> bytes:
            return bytes(key.encrypt(secret, mechanism=Mechanism.AES_GCM, mechanism_param=GCMParams(nonce, bound_to)))

        return nonce + self._keystore.used(self._number, self._wrapped, act)

    def unseal(self, sealed: bytes, bound_to: bytes) -> bytes:
        if len(sealed) < _NONCE_BYTES + _TAG_BYTES:
            raise Locked("the secret does not open with this key")
        nonce, rest = sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:]

        def act(key: Any) -> bytes:
            try:
                return bytes(key.decrypt(rest, mechanism=Mechanism.AES_GCM, mechanism_param=GCMParams(nonce, bound_to)))
            except GeneralError:
                # SoftHSM's word for a wrong tag. Whether the token is to blame shows when it is given something good.
                sound = GCMParams(secrets.token_bytes(_NONCE_BYTES), b"")
                own = bytes(key.encrypt(b"?", mechanism=Mechanism.AES_GCM, mechanism_param=sound))
                key.decrypt(own, mechanism=Mechanism.AES_GCM, mechanism_param=sound)
                raise Locked("the secret does not open with this key") from None

        return self._keystore.used(self._number, self._wrapped, act)

    def close(self) -> None:
        self._keystore.given_up(self._number)


def _pkcs1(public_key: bytes) -> bytes:
    """An RSA public key as PKCS #1 writes it, which is how the module's binding reads one."""
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_public_key

    return load_der_public_key(public_key).public_bytes(Encoding.DER, PublicFormat.PKCS1)
