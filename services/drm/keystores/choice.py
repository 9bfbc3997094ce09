"""Which keystore: what can be set, and the one that it amounts to."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr

from services.drm.keystores.file import FileKeystore
from services.drm.keystores.keystore import Keystore, WrongKeystore
from services.kit.settings import ProcessSettings


class KeystoreSettings(ProcessSettings):
    """Where the root key lives. `docs/drm.md` tells what to obtain for each, and how to move from one to another."""

    drm_keystore: Literal["file", "pkcs11", "aws-kms", "vault"] = Field(
        default="file",
        description="What holds the root key: a file in `secrets_dir`, a PKCS#11 token, AWS KMS, or Vault.",
    )
    drm_root_passphrase_file: Path | None = Field(
        default=None, description="File with the passphrase of `root_key`. None: `drm_root_passphrase`, if any."
    )
    drm_root_passphrase: SecretStr | None = Field(
        default=None, description="The passphrase itself; a file is better, as environments are seen by more people."
    )
    drm_pkcs11_module: Path | None = Field(
        default=None, description="Shared library of the PKCS#11 module, such as `/usr/lib/softhsm/libsofthsm2.so`."
    )
    drm_pkcs11_token: str = Field(default="reelmesh", description="Label of the PKCS#11 token.")
    drm_pkcs11_pin_file: Path | None = Field(default=None, description="File with the PIN of the token's user.")
    drm_pkcs11_root_label: str = Field(
        default="reelmesh-root",
        description="Label of the root keys in the token. The first is made at the first start.",
    )
    drm_aws_kms_key: str = Field(default="", description="Id, ARN or alias of a symmetric key in AWS KMS.")
    drm_aws_kms_endpoint: str = Field(default="", description="URL of KMS. Empty: the region's own.")
    drm_vault_address: str = Field(default="", description="URL of Vault, such as `https://vault.example.com:8200`.")
    drm_vault_mount: str = Field(default="transit", description="Where Vault's transit engine is mounted.")
    drm_vault_key: str = Field(default="reelmesh-root", description="Name of the transit key, of type aes256-gcm96.")
    drm_vault_token_file: Path | None = Field(
        default=None,
        description="File with Vault's token; it is read anew for each call, so that an agent may renew it.",
    )
    drm_vault_authorities: str = Field(
        default="", description="File of certificate authorities to believe of Vault. Empty: the system's."
    )

    def root_passphrase(self) -> str:
        """The passphrase of `root_key`; empty when none is set.

        Raises:
            WrongKeystore: its file cannot be read.
        """
        if self.drm_root_passphrase_file is not None:
            return _line(self.drm_root_passphrase_file, "REELMESH_DRM_ROOT_PASSPHRASE_FILE")
        return self.drm_root_passphrase.get_secret_value() if self.drm_root_passphrase is not None else ""


def chosen(settings: KeystoreSettings) -> Keystore:
    """The keystore that the settings name, tried.

    Raises:
        WrongKeystore: it cannot be used; the message says what to mend.
    """
    match settings.drm_keystore:
        case "file":
            return FileKeystore.at(settings.secrets_dir, settings.root_passphrase)
        case "pkcs11":
            return _pkcs11(settings)
        case "aws-kms":
            from services.drm.keystores.aws_kms import AwsKmsKeystore  # its library is an extra

            _set(settings.drm_aws_kms_key, "REELMESH_DRM_AWS_KMS_KEY", "the key in KMS")
            return AwsKmsKeystore(settings.drm_aws_kms_key, settings.drm_aws_kms_endpoint)
        case "vault":
            from services.drm.keystores.vault_transit import VaultTransitKeystore  # others need no HTTP client

            _set(settings.drm_vault_address, "REELMESH_DRM_VAULT_ADDRESS", "where Vault is")
            file = settings.drm_vault_token_file
            if file is None:
                raise _missing("REELMESH_DRM_VAULT_TOKEN_FILE", "a file with Vault's token")
            _line(file, "REELMESH_DRM_VAULT_TOKEN_FILE")
            return VaultTransitKeystore(
                settings.drm_vault_address,
                settings.drm_vault_mount,
                settings.drm_vault_key,
                lambda: file.read_text(encoding="utf-8").strip(),
                settings.drm_vault_authorities,
            )


def _pkcs11(settings: KeystoreSettings) -> Keystore:
    from services.drm.keystores.pkcs11 import Pkcs11Keystore  # others need no hardware's library

    module, pin_file = settings.drm_pkcs11_module, settings.drm_pkcs11_pin_file
    if module is None or pin_file is None:
        raise _missing("REELMESH_DRM_PKCS11_MODULE and REELMESH_DRM_PKCS11_PIN_FILE", "the token's library and its PIN")
    if not module.exists():
        raise WrongKeystore(
            f"there is no PKCS#11 module at {module}: set REELMESH_DRM_PKCS11_MODULE to the token's library"
        )
    return Pkcs11Keystore(
        module,
        settings.drm_pkcs11_token,
        _line(pin_file, "REELMESH_DRM_PKCS11_PIN_FILE"),
        label=settings.drm_pkcs11_root_label,
    )


def _line(file: Path, setting: str) -> str:
    try:
        return file.read_text(encoding="utf-8").rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        raise WrongKeystore(f"{file}, which {setting} names, cannot be read: {error}") from None


def _set(value: str, setting: str, what: str) -> None:
    if not value:
        raise _missing(setting, what)


def _missing(setting: str, what: str) -> WrongKeystore:
    return WrongKeystore(f"the keystore that REELMESH_DRM_KEYSTORE names needs {setting}: {what}")
