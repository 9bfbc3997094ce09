"""The keystore with its root key in AWS KMS. Key-encryption keys are data keys: made there, kept wrapped here, opened there, used in memory.

Needs the extra `aws-kms` (boto3). Credentials come from where AWS's own tools take them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

from services.drm.keystores.escrow_key import encrypted
from services.drm.keystores.keystore import AesGcmKey, KeyEncryptionKey, Locked, Unreachable, WrongKeystore

_CONTEXT: Final = {"reelmesh": "key-encryption key"}
"""Goes into every wrapping, so that a policy of KMS can name it, and nothing else of the account passes for one."""
_WRONG_BYTES: Final = frozenset({"InvalidCiphertextException", "IncorrectKeyException"})
_WRONG_SETTINGS: Final = frozenset(
    {
        "NotFoundException",
        "AccessDeniedException",
        "InvalidArnException",
        "DisabledException",
        "InvalidKeyUsageException",
    }
)


class AwsKmsKeystore:
    """Uses a symmetric key of KMS.

    Args:
        key: id, ARN or alias of the key.
        endpoint: where KMS is reached; empty for the region's own.
    """

    waits = False

    def __init__(self, key: str, endpoint: str = "") -> None:
        try:
            import boto3
            from botocore.config import Config
            from botocore.exceptions import BotoCoreError, ClientError
        except ImportError:
            raise WrongKeystore("AWS KMS needs the library boto3: install Reelmesh with the extra `aws-kms`") from None
        self._key = key
        self._refusals: tuple[type[Exception], type[Exception]] = (ClientError, BotoCoreError)
        limits = Config(connect_timeout=3, read_timeout=5, retries={"total_max_attempts": 3, "mode": "standard"})
        try:
            self._kms: Any = boto3.client("kms", endpoint_url=endpoint or None, config=limits)
            self._arn = self._described()
        except Unreachable as error:
            self._kms.close()
            raise WrongKeystore(
                f"AWS KMS cannot be used: {error}; check REELMESH_DRM_AWS_KMS_KEY and the credentials"
            ) from None
        except BotoCoreError as error:
            raise WrongKeystore(f"AWS KMS cannot be used: {error}") from None

    def root_id(self) -> str:
        return f"aws-kms:{self._arn}"

    def new_key_encryption_key(self) -> bytes:
        answer = self._asked(
            self._kms.generate_data_key_without_plaintext,
            KeyId=self._key,
            KeySpec="AES_256",
            EncryptionContext=_CONTEXT,
        )
        return bytes(answer["CiphertextBlob"])

    def open(self, wrapped: bytes) -> KeyEncryptionKey:
        return AesGcmKey(self._unwrapped(wrapped))

    def rewrapped(self, wrapped: bytes) -> bytes:
        answer = self._asked(
            self._kms.re_encrypt,
            CiphertextBlob=wrapped,
            SourceEncryptionContext=_CONTEXT,
            DestinationKeyId=self._key,
            DestinationEncryptionContext=_CONTEXT,
        )
        return bytes(answer["CiphertextBlob"])

    def wrapped(self, key: bytes) -> bytes:
        answer = self._asked(self._kms.encrypt, KeyId=self._key, Plaintext=key, EncryptionContext=_CONTEXT)
        return bytes(answer["CiphertextBlob"])

    def escrowed(self, wrapped: bytes, public_key: bytes) -> bytes:
        return encrypted(self._unwrapped(wrapped), public_key)

    def add_root(self) -> str:
        raise WrongKeystore(
            "KMS makes root keys itself: turn on its yearly rotation, which needs nothing here; or make another key there and set "
            "REELMESH_DRM_AWS_KMS_KEY to it: what the old one wrapped is rewrapped at the next start"
        )

    def drop_former_roots(self) -> Sequence[str]:
        return []

    def close(self) -> None:
        self._kms.close()

    def _described(self) -> str:
        return str(self._asked(self._kms.describe_key, KeyId=self._key)["KeyMetadata"]["Arn"])

    def _unwrapped(self, wrapped: bytes) -> bytes:
        # Without a KeyId: what was wrapped by the key before this one says so itself.
        answer = self._asked(self._kms.decrypt, CiphertextBlob=wrapped, EncryptionContext=_CONTEXT)
        return bytes(answer["Plaintext"])

    def _asked(self, call: Callable[..., Any], **fields: Any) -> Any:
        with self._mapped():
            return call(**fields)

    @contextmanager
    def _mapped(self) -> Iterator[None]:
        """What boto3 raises, in our words and without the cause, which may quote what was sent."""
        from botocore.exceptions import ClientError, ParamValidationError

        try:
            yield
        except ClientError as error:
            code = str(error.response.get("Error", {}).get("Code", ""))
            if code in _WRONG_BYTES:
                raise Locked("KMS does not open this key-encryption key") from None
            hint = "; the key, or the right to use it, is missing" if code in _WRONG_SETTINGS else ""
            raise Unreachable(f"KMS refuses: {code}{hint}") from None
        except ParamValidationError:
            raise Locked("this was never wrapped by KMS") from None
        except self._refusals as error:
            raise Unreachable(f"KMS cannot be asked: {type(error).__name__}") from None
