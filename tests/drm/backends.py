"""Every keystore, set up as an operator would, for the suite that each must pass."""

from __future__ import annotations

import functools
import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from services.drm.keystores.choice import KeystoreSettings, chosen
from services.drm.keystores.keystore import Keystore
from services.drm.keystores.root_files import under_passphrase, write
from services.kit.settings import ProcessSettings
from tests.support import softhsm
from tests.support.vault import running_vault

PASSPHRASE = "correct horse battery staple"
NAMES = ("file", "file under a passphrase", "pkcs11", "aws-kms", "vault")


@dataclass(frozen=True)
class Backend:
    """One kind of keystore.

    Attributes:
        settings: lead to it.
        other: lead to one of the same kind with another root key.
        interrupt: makes it unreachable; None where nothing can be.
        mend: undoes that.
    """

    closing: ExitStack
    name: str
    settings: KeystoreSettings
    other: KeystoreSettings
    interrupt: Callable[[], None] | None = None
    mend: Callable[[], None] = lambda: None

    def open(self) -> Keystore:
        return self._open(self.settings)

    def open_other(self) -> Keystore:
        return self._open(self.other)

    def _open(self, settings: KeystoreSettings) -> Keystore:
        keystore = chosen(settings)
        self.closing.callback(keystore.close)
        return keystore


@contextmanager
def backend(name: str, folder: Path) -> Iterator[Backend]:
    """Sets one up for the length of the block."""
    with ExitStack() as stack:
        if name.startswith("file"):
            yield _files(stack, name, folder)
        elif name == "pkcs11":
            yield _token(stack, folder)
        elif name == "aws-kms":
            yield _kms(stack, folder)
        else:
            yield _vault(stack, folder)


def settings_of(folder: Path, **fields: Any) -> KeystoreSettings:
    return KeystoreSettings(**{**ProcessSettings(secrets_dir=folder).model_dump(), **fields})


def _files(stack: ExitStack, name: str, folder: Path) -> Backend:
    fields: dict[str, Any] = {}
    if "passphrase" in name:
        write(folder / "passphrase", f"{PASSPHRASE}\n".encode())
        fields["drm_root_passphrase_file"] = folder / "passphrase"
    for one in (folder, folder / "other"):
        one.mkdir(exist_ok=True)
        write(one / "root_key", _sealed(one.name == "other") if fields else secrets.token_bytes(31) + b"k")
    return Backend(stack, name, settings_of(folder, **fields), settings_of(folder / "other", **fields))


@functools.cache
def _sealed(other: bool) -> bytes:
    """A root key under the passphrase, or another one. To open one costs as much as it is meant to; these are sealed once."""
    return under_passphrase(secrets.token_bytes(31) + b"k", PASSPHRASE)


def _token(stack: ExitStack, folder: Path) -> Backend:
    configuration = Path(os.environ["SOFTHSM2_CONF"])
    one, other = (softhsm.new_token(configuration, f"token-{secrets.token_hex(4)}") for _ in range(2))
    return Backend(stack, "pkcs11", settings_of(folder, **one.settings()), settings_of(folder, **other.settings()))


def _kms(stack: ExitStack, folder: Path) -> Backend:
    import boto3  # large, and of use to few
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    stack.callback(server.stop)
    host, port = server.get_host_and_port()
    endpoint = f"http://{host}:{port}"
    environment = stack.enter_context(pytest.MonkeyPatch.context())
    for variable, value in {
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "eu-central-1",
    }.items():
        environment.setenv(variable, value)
    client = boto3.client("kms", endpoint_url=endpoint)
    one, other = (client.create_key(Description="root")["KeyMetadata"]["Arn"] for _ in range(2))
    client.close()
    fields: dict[str, Any] = {"drm_keystore": "aws-kms", "drm_aws_kms_endpoint": endpoint}
    return Backend(
        stack,
        "aws-kms",
        settings_of(folder, drm_aws_kms_key=one, **fields),
        settings_of(folder, drm_aws_kms_key=other, **fields),
        interrupt=server.stop,
    )


def _vault(stack: ExitStack, folder: Path) -> Backend:
    vault = stack.enter_context(running_vault())
    vault.make("reelmesh-root")
    vault.make("another")
    write(folder / "vault_token", f"{vault.token}\n".encode())
    fields: dict[str, Any] = {
        "drm_keystore": "vault",
        "drm_vault_address": vault.url,
        "drm_vault_token_file": folder / "vault_token",
    }

    def away(gone: bool) -> None:
        vault.away = gone

    return Backend(
        stack,
        "vault",
        settings_of(folder, **fields),
        settings_of(folder, drm_vault_key="another", **fields),
        interrupt=lambda: away(True),
        mend=lambda: away(False),
    )
